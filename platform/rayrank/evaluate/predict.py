"""A trained ranker's scores of user rows, on Ray Data."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import torch

from rayrank.data.held_out import DayPart
from rayrank.data.jagged import to_jagged
from rayrank.data.packing import pack, row_costs
from rayrank.data.row_files import row_files
from rayrank.errors import DataError
from rayrank.evaluate.candidates import candidate_table, in_order
from rayrank.evaluate.config import EvaluateConfig
from rayrank.evaluate.pieces import Piece, day_in, piece_in, pieces_of, scored_by
from rayrank.schema import Schema
from rayrank.storage import AnyPath, absolute
from rayrank.train.config import RankerConfig
from rayrank.train.export import local_ranker
from rayrank.watch import Watch


def predict(
    config: RankerConfig,
    schema: Schema,
    checkpoint: AnyPath,
    rows: AnyPath,
    settings: EvaluateConfig,
    watch: Watch,
    parts: Sequence[DayPart] | None = None,
) -> pa.Table:
    """A line per candidate, as `candidate_table`, with `p.TASK`, in the order of `in_order`.

    rows is a folder of user-row files; parts: of its days' rows those to score, one part for a day,
    all rows unless said. Raises DataError where there are none.
    """
    by_day = None if parts is None else {part.day: part for part in parts}
    files = row_files(rows)
    pieces = _pieces(rows, [f for f in files if by_day is None or f.parent.name in by_day])
    scored = scored_by(
        _Scorer,
        (config, schema, absolute(checkpoint), settings.max_tokens, by_day),
        pieces,
        workers=settings.workers,
        name=f"scores of {checkpoint.parent.parent.parent.name}",
    )
    tables, done, total = [], 0, sum(piece.rows for piece in pieces)
    for table in scored:
        tables.append(table)
        done += len(table.group_by(["user", "window_start"]).aggregate([]))
        watch(done, total)
    return in_order(pa.concat_tables(tables))


def predict_here(
    config: RankerConfig,
    schema: Schema,
    checkpoint: AnyPath,
    rows: AnyPath,
    settings: EvaluateConfig,
) -> pa.Table:
    """As `predict`, of all rows of a folder, in this process."""
    pieces = _pieces(rows, row_files(rows))
    scorer = _Scorer(config, schema, checkpoint, settings.max_tokens, None)
    return in_order(pa.concat_tables([scorer.score(piece) for piece in pieces]))


def _pieces(rows: AnyPath, files: list[AnyPath]) -> list[Piece]:
    pieces = pieces_of(files)
    if not pieces:
        raise DataError(f"{rows}: no user rows; run jobs/build_rows.py first")
    return pieces


class _Scorer:
    """What each of Ray Data's actors does."""

    def __init__(
        self,
        config: RankerConfig,
        schema: Schema,
        checkpoint: AnyPath,
        max_tokens: int,
        parts: Mapping[str, DayPart] | None,
    ) -> None:
        torch.set_num_threads(1)
        # Candidates are told of as the rows hold them, whatever the ranker reads.
        self.schema, self.seen = schema, config.view.of(schema)
        self.max_tokens, self.parts = max_tokens, parts
        self.ranker = local_ranker(config, schema, checkpoint)

    def __call__(self, line: pa.Table) -> pa.Table:
        return self.score(piece_in(line))

    @torch.inference_mode()
    def score(self, piece: Piece) -> pa.Table:
        rows, scored = piece.read(), []
        if self.parts is not None:
            rows = rows.filter(pa.array(self.parts[day_in(piece)].picks(rows["user"])))
        if len(rows) == 0:
            no_scores = np.empty((0, len(self.schema.tasks)), np.float32)
            return candidate_table(rows, self.schema, no_scores)
        for picked in pack(row_costs(rows, 0.0), self.max_tokens):
            users = rows.slice(picked[0], len(picked))
            logits_CK = self.ranker(to_jagged(users, self.seen))
            p_CK = self.ranker.predictions(logits_CK).numpy()
            scored.append(candidate_table(users, self.schema, p_CK))
        return pa.concat_tables(scored)
