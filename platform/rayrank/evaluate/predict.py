"""A trained ranker's scores of user rows, on Ray Data."""

import pyarrow as pa
import torch

from rayrank.data.jagged import to_jagged
from rayrank.data.packing import pack, row_costs
from rayrank.data.row_files import row_files
from rayrank.errors import DataError
from rayrank.evaluate.candidates import candidate_table, in_order
from rayrank.evaluate.config import EvaluateConfig
from rayrank.evaluate.pieces import piece_in, pieces_of, scored_by
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
) -> pa.Table:
    """A line per candidate, as `candidate_table`, with `p.TASK`, in the order of `in_order`.

    rows is a folder of user-row files. Raises DataError where it has none.
    """
    pieces = pieces_of(row_files(rows))
    if not pieces:
        raise DataError(f"{rows}: no user rows; run jobs/build_rows.py first")
    scored = scored_by(
        _Scorer,
        (config, schema, absolute(checkpoint), settings.max_tokens),
        pieces,
        workers=settings.workers,
        name=f"scores of {checkpoint.parent.parent.parent.name}",
    )
    parts, done, total = [], 0, sum(piece.rows for piece in pieces)
    for part in scored:
        parts.append(part)
        done += len(part.group_by(["user", "window_start"]).aggregate([]))
        watch(done, total)
    return in_order(pa.concat_tables(parts))


class _Scorer:
    """What each of Ray Data's actors does."""

    def __init__(
        self, config: RankerConfig, schema: Schema, checkpoint: AnyPath, max_tokens: int
    ) -> None:
        torch.set_num_threads(1)
        self.schema, self.max_tokens = schema, max_tokens
        self.ranker = local_ranker(config, schema, checkpoint)

    @torch.inference_mode()
    def __call__(self, line: pa.Table) -> pa.Table:
        rows, scored = piece_in(line).read(), []
        for picked in pack(row_costs(rows, 0.0), self.max_tokens):
            users = rows.slice(picked[0], len(picked))
            logits_CK = self.ranker(to_jagged(users, self.schema))
            p_CK = self.ranker.predictions(logits_CK).numpy()
            scored.append(candidate_table(users, self.schema, p_CK))
        return pa.concat_tables(scored)
