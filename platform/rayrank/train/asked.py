"""What the batches of an epoch are: how many there are, what one costs, and which ids it asks
tables for. Looked up in the rows; nothing is trained."""

import tempfile
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch

from rayrank.data.jagged import JaggedBatch, to_jagged
from rayrank.data.plan import plan_epochs
from rayrank.data.planned import PlannedBatches
from rayrank.data.row_stats import read_stats
from rayrank.data.stochastic_length import StochasticLength
from rayrank.embedding.tables import LocalTables
from rayrank.model.build import build_model
from rayrank.model.ranker import Ranker
from rayrank.schema import RankerSchema, Schema
from rayrank.storage import AnyPath, place
from rayrank.train.config import RankerConfig
from rayrank.train.run import packing_of

BATCHES = 256
"""That are looked at, at most."""


class Distinct(NamedTuple):
    """How many distinct ids of one table batches ask for together."""

    unions: tuple[float, ...]
    """Of 1, 2, 4, … batches in a row: the mean over all groups of so many that were looked at."""

    def of(self, batches: int) -> float:
        """Of so many together, a power of two. Of more than were looked at: each further one brings
        as many new ids as one of the last half of them did. That is too many rather than too few,
        for later ones bring ever fewer."""
        step = batches.bit_length() - 1
        if step < len(self.unions):
            return self.unions[step]
        looked_at = 1 << (len(self.unions) - 1)
        half = self.unions[-2] if looked_at > 1 else 0.0
        each = (self.unions[-1] - half) / max(1, looked_at // 2)
        return self.unions[-1] + (batches - looked_at) * each


class Dense(NamedTuple):
    """Of a ranker's dense parameters, how many numbers there are."""

    numbers: int
    in_blocks: int
    """Of them, in the model's `blocks`."""


class Asked(NamedTuple):
    """Of one epoch."""

    batches: int
    looked_at: int
    """Of them the first ones, a power of two: means are over these."""
    tokens: float
    """Of a batch, on average."""
    forward_flops: float | None
    """Of a batch, on average; None of a model that does not tell."""
    tables: dict[str, Distinct]
    dense: Dense


def asked_by(schema: Schema, config: RankerConfig, rows: AnyPath) -> Asked:
    """Plan an epoch over the training rows as training does, and look at its first batches, which
    are those that ranks share out as one step. Raises DataError where there are no rows."""
    schema = config.view.of(schema)
    # Ids are counted, not looked up: its tables need no room.
    no_room = {name: of.model_copy(update={"capacity": 1}) for name, of in schema.tables.items()}
    tables = LocalTables(no_room, init_std=config.model.embedding_std, seed=0)
    ranker = build_model(schema, config.model, tables, read_stats(rows).scales())
    packing = packing_of(config)._replace(epochs=1)
    with tempfile.TemporaryDirectory(prefix="rayrank-plan-") as name:
        plan_epochs(rows / "train", packing, place(name))
        planned = PlannedBatches(rows / "train", place(name), epoch=0)
        count = 1 << (min(BATCHES, len(planned)).bit_length() - 1)
        batches = list(_first(planned, count, schema, config))
    with torch.no_grad():
        ids = [_distinct(ranker, batch) for batch in batches]
        flops = [ranker.forward_flops(batch) for batch in batches]
    told = [float(of) for of in flops if of is not None]
    return Asked(
        batches=len(planned),
        looked_at=count,
        tokens=float(np.mean([batch.tokens for batch in batches])),
        forward_flops=float(np.mean(told)) if told else None,
        tables={name: Distinct(unions([of[name] for of in ids])) for name in schema.tables},
        dense=dense_of(ranker),
    )


def unions(batches: Sequence[np.ndarray]) -> tuple[float, ...]:
    """Of the distinct ids of each batch, int64 ascending, how many there are in 1, 2, 4, … batches
    in a row: the mean over all such groups. There are a power of two batches."""
    found, groups = [], list(batches)
    while True:
        found.append(float(np.mean([len(group) for group in groups])))
        if len(groups) == 1:
            return tuple(found)
        pairs = zip(groups[::2], groups[1::2], strict=True)
        groups = [np.union1d(one, other) for one, other in pairs]


def dense_of(ranker: Ranker) -> Dense:
    """Of a ranker as it is built."""
    mine = {id(p): p.numel() for p in ranker.dense_parameters().values()}
    blocks = {id(p): p.numel() for block in ranker.blocks() for p in block.parameters()}
    return Dense(sum(mine.values()), sum(blocks.values()))


def _first(
    planned: PlannedBatches, count: int, schema: RankerSchema, config: RankerConfig
) -> Iterable[JaggedBatch]:
    """Batches as one worker alone would see them."""
    alpha, seed = config.train.stochastic_length, config.train.seed
    for (rows,) in islice(planned.deal(0, 1, 0), count):
        if alpha is not None:
            rows = StochasticLength(alpha, seed, epoch=0).shorten(rows, schema)  # noqa: PLW2901
        yield to_jagged(rows, schema)


def _distinct(ranker: Ranker, batch: JaggedBatch) -> dict[str, np.ndarray]:
    """Of each table the ids that one exchange asks for."""
    return {name: np.unique(ids.numpy()) for name, ids in ranker.ids(batch).items()}
