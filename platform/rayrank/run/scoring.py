"""Scores of many rows at once, on Ray Data, by the engine that serves.

OUT/made-from.json            what is scored, by which bundle; written first
OUT/rows                      of a raw log its user rows, until they are scored
OUT/scores/part-N.parquet     a line per candidate: user, item, time, p.TASK
OUT/scores.json               how many there are; written last
OUT/ray.log                   what Ray said (in runs/OUT where OUT is a URI)
"""

import json
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray
import torch

from rayrank.data.packing import pack, row_costs
from rayrank.errors import DataError, VersionError
from rayrank.evaluate.candidates import candidate_table
from rayrank.evaluate.pieces import piece_in, pieces_of, scored_by
from rayrank.infer.bundle import bundle_folder, load_bundle
from rayrank.infer.engine import Engine
from rayrank.infer.ranges import outside
from rayrank.run.folder import RunFolder
from rayrank.run.terminal import say, watching
from rayrank.run.to_score import ToScore, columns_to_score
from rayrank.storage import (
    AnyPath,
    absolute,
    files_in,
    place,
    remove_folder,
    write_whole,
    writing_file,
)
from rayrank.strict import Strict
from rayrank.versions import MADE_FROM, differences, made_from

FORMAT = 1
"""Raised when the same rows and bundle would give other files."""
MARKER = "scores.json"


class Scores(Strict):
    """What was scored."""

    version: str
    """The bundle's."""
    ranker: str
    scored: str
    """Of which rows or log."""
    rows: int
    candidates: int
    clamped: dict[str, int]
    """TOKEN.FEATURE -> numbers that counted as the edge of what training saw, where there were
    any."""


class Scoring:
    """A bundle, what it is to score, and a folder for the scores."""

    def __init__(self, bundle: str, what: ToScore, out: str) -> None:
        """Check all that can be checked before Ray starts. bundle: a version's folder, or
        BUNDLES/current, which is looked up now.

        Raises BundleError, DataError for what the bundle cannot score, and VersionError where
        `out` holds anything else than these scores.
        """
        self.what, self.folder = what, RunFolder(out)
        self.out = absolute(self.folder.root)
        self.scores, self.built = self.out / "scores", self.out / "rows"
        ours = self._is_ours()
        named = place(bundle)
        self.bundle = absolute(bundle_folder(named.parent, named.name))
        loaded = load_bundle(self.bundle)
        self.manifest, self.schema = loaded.manifest, loaded.schema
        what.check(self.schema, self.manifest.id_types)
        self.made_from = {
            "bundle": self.manifest.version,
            "format": FORMAT,
            **what.made_from(self.schema),
        }
        if ours and (lines := differences(made_from(self.out), self.made_from)):
            holds = f"{self.out}: holds what was made from something else:"
            raise VersionError("\n".join([holds, *lines, "Name another folder"]))

    @property
    def done(self) -> Scores | None:
        """What was scored, where all of it was."""
        marker = self.out / MARKER
        return Scores.model_validate_json(marker.read_text()) if marker.exists() else None

    def run(self) -> Scores:
        """Score on Ray, with a process for each of the cluster's CPUs; nothing is left of it after
        an error."""
        say(f"scoring {self.what} by {self.manifest.ranker} {self.manifest.version}")
        if (self.out / MADE_FROM).exists():
            left = len(files_in(self.scores, "*.parquet"))
            say(f"{self.out}: was cut after {left:,} parts: they go, all is scored anew")
            self._remove()
        write_whole(self.out / MADE_FROM, json.dumps(self.made_from, indent=1))
        try:
            scores = self._score()
        except BaseException:
            self._remove()
            raise
        remove_folder(self.built)
        write_whole(self.out / MARKER, scores.model_dump_json(indent=1))
        return scores

    def _score(self) -> Scores:
        pieces = pieces_of(self.what.rows(self.schema, self.built))
        if not pieces:
            raise DataError(f"{self.what}: no row to score")
        scored = scored_by(
            _Scorer,
            (self.bundle, self.scores),
            pieces,
            workers=int(ray.cluster_resources().get("CPU", 1)),
            name=f"scores by {self.manifest.ranker} {self.manifest.version}",
        )
        rows, candidates, total = 0, 0, sum(piece.rows for piece in pieces)
        clamped = Counter[str]()
        with watching("scoring user rows") as watch:
            for part in scored:
                for line in part.to_pylist():
                    rows += line["rows"]
                    candidates += line["candidates"]
                    clamped.update(dict(line["clamped"]))
                watch(rows, total)
        for feature, count in sorted(clamped.items()):
            say(f"{feature}: {count:,} numbers count as the edge of what training saw")
        return Scores(
            version=self.manifest.version,
            ranker=self.manifest.ranker,
            scored=str(self.what),
            rows=rows,
            candidates=candidates,
            clamped=dict(clamped),
        )

    def _is_ours(self) -> bool:
        """Whether the folder holds scores, or what a cut run left of them. Raises VersionError
        where it holds anything else."""
        there = [path.name for path in files_in(self.out, "*")]
        others = [name for name in there if name != self.folder.ray_log.name]
        if others and MADE_FROM not in others:
            raise VersionError(
                f"{self.out}: holds other things ({', '.join(others[:5])}); name a folder for the "
                "scores alone"
            )
        return bool(others)

    def _remove(self) -> None:
        remove_folder(self.built)
        remove_folder(self.scores)
        (self.out / MADE_FROM).unlink(missing_ok=True)


class _Scorer:
    """What each of Ray Data's actors does."""

    def __init__(self, bundle: AnyPath, scores: AnyPath) -> None:
        torch.set_num_threads(1)
        # No user comes twice: nothing to keep of one.
        self.engine = Engine(load_bundle(bundle), cache_bytes=0)
        self.schema, self.scores = self.engine.bundle.schema, scores
        self.columns = columns_to_score(self.schema)

    def __call__(self, line: pa.Table) -> pa.Table:
        """Write a piece's part; how many rows and candidates it is of."""
        piece = piece_in(line)
        rows = piece.read(self.columns)
        batches = pack(row_costs(rows, 0.0), self.engine.batch_tokens)
        asked = [self.engine.submit(rows.slice(of[0], len(of))) for of in batches]
        p_CK = np.concatenate([scores for one in asked for scores in one.result().scores])
        table = candidate_table(rows, self.schema, p_CK)
        table = table.select(["user", "item", "time", *(f"p.{task}" for task in self.schema.tasks)])
        with writing_file(self.scores / f"part-{piece.number:05d}.parquet") as file:
            pq.write_table(table, file)
        ranges = self.engine.bundle.manifest.ranges
        clamped = [list(outside(rows, self.schema, ranges).items())]
        return pa.table(
            {
                "rows": [len(rows)],
                "candidates": [len(table)],
                "clamped": pa.array(clamped, pa.map_(pa.string(), pa.int64())),
            }
        )
