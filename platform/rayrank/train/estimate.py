"""What a rank would hold, send and wait for, of any number of ranks, without having them.

Arithmetic alone, on what the rows' batches ask for (`asked`): bytes follow from it, seconds from
what a device does by its data sheet and the share of it that is taken for granted here.
"""

from collections.abc import Mapping
from typing import NamedTuple

from rayrank.embedding.budget import Width, held_bytes, rules_of, widths_of
from rayrank.embedding.on_gpu import beyond_budget
from rayrank.errors import ConfigError
from rayrank.schema import Table
from rayrank.train.asked import Asked, Dense
from rayrank.train.config import TrainConfig
from rayrank.train.devices import HOST, Device
from rayrank.train.observed import TRAINING_PASSES

MFU = 0.4
"""Of a device's peak, what the model's FLOPs reach."""
REACHED = 0.5
"""Of the bandwidth of memory and links."""
ID, NUMBER, LINE = 8, 4, 64
"""Bytes of an id, of a number, and of what memory gives for a look into an id map."""
HELD = 4
"""Numbers that are kept of a dense parameter: itself, its gradient, AdamW's two moments."""
UPDATE = 7
"""Numbers that AdamW reads and writes of one: all four, and all but the gradient again."""


class TablesHeld(NamedTuple):
    """Bytes on one rank."""

    rows: int
    """As a budget counts them."""
    beyond: int
    """Of a GPU's id maps, and of ids that wait to be admitted."""


class Moved(NamedTuple):
    """In one step of one rank, on average over the ranks."""

    tables_sent: float
    """Bytes of ids, of vectors and of gradients, to other ranks; as many arrive."""
    dense_sent: float
    """Bytes of dense parameters' gradients, and of themselves where they are sharded."""
    rows_asked: float
    """For which ranks ask this one."""
    rows_read: float
    """Of them, after those that several ranks ask for are made one."""
    memory: float
    """Bytes that rows and the update of dense parameters read and write."""


class Estimate(NamedTuple):
    """Of one number of ranks."""

    ranks: int
    tables: TablesHeld | None
    """None where a rank would have more rows than 32 bits count."""
    dense: float
    """Bytes of dense parameters on one rank, with gradients and AdamW's moments."""
    moved: Moved
    compute_s: float | None
    """Of a step; None of a model that does not tell its FLOPs."""
    exchange_s: float
    memory_s: float
    steps: int
    """Of an epoch."""

    def held(self) -> float | None:
        """Bytes on one rank."""
        return None if self.tables is None else sum(self.tables) + self.dense

    def step_s(self) -> float | None:
        """As if nothing of a step went on under anything else of it."""
        if self.compute_s is None:
            return None
        return self.compute_s + self.exchange_s + self.memory_s


def estimate(
    tables: Mapping[str, Table], train: TrainConfig, asked: Asked, device: Device, ranks: int
) -> Estimate:
    """Of `ranks` ranks, a power of two. Raises ConfigError for rules that fit no table."""
    moved = moved_in_step(tables, train, asked, ranks)
    compute_s = None
    if asked.forward_flops is not None:
        passes = train.accumulate * (TRAINING_PASSES + train.recompute)
        compute_s = passes * asked.forward_flops / (MFU * device.tflops * 1e12)
    return Estimate(
        ranks=ranks,
        tables=tables_held(tables, train, ranks),
        dense=HELD * NUMBER * _own(asked.dense, train, ranks),
        moved=moved,
        compute_s=compute_s,
        exchange_s=exchange_s(moved, device, ranks),
        memory_s=moved.memory / (REACHED * device.memory_gb_per_s * 1e9),
        steps=-(-asked.batches // (ranks * train.accumulate)),
    )


def tables_held(tables: Mapping[str, Table], train: TrainConfig, ranks: int) -> TablesHeld | None:
    """On one rank; None as `widths_on` says."""
    widths = widths_on(tables, train, ranks)
    if widths is None:
        return None
    return TablesHeld(held_bytes(widths), beyond_budget(widths, rules_of(tables, train.tables)))


def widths_on(tables: Mapping[str, Table], train: TrainConfig, ranks: int) -> list[Width] | None:
    """As training on so many ranks has them: with the rows that are kept free for new ids where
    tables evict. None where a rank would have more rows than 32 bits count. Raises ConfigError for
    rules that fit no table."""
    rules_of(tables, train.tables)
    try:
        return list(widths_of(tables, train.tables, ranks, train.new_ids(ranks)))
    except ConfigError:  # the rules are sound
        return None


def moved_in_step(
    tables: Mapping[str, Table], train: TrainConfig, asked: Asked, ranks: int
) -> Moved:
    """Every rank sends the ids of a batch to those that own them, each once, and they their vectors
    back; in the backward pass it sends their gradients. A rank owns its even share of all ids, so
    that of what it asks for so much stays at home."""
    sent = rows_asked = rows_read = memory = 0.0
    for name, table in tables.items():
        vector = NUMBER * table.dim
        own, all_ranks = asked.tables[name].of(1), asked.tables[name].of(ranks)
        each = all_ranks / ranks
        sent += own * (ID + 2 * vector)
        rows_asked += own
        rows_read += each
        # A look, a vector to send and a gradient that came; the row read, then read and written
        # with its momentum.
        memory += own * (LINE + 2 * vector) + each * (vector + 2 * (vector + NUMBER))
    batches = train.accumulate
    return Moved(
        tables_sent=batches * sent * _elsewhere(ranks),
        dense_sent=_dense_sent(asked.dense, train, ranks),
        rows_asked=batches * rows_asked,
        rows_read=batches * rows_read,
        memory=batches * memory + UPDATE * NUMBER * _own(asked.dense, train, ranks),
    )


def exchange_s(moved: Moved, device: Device, ranks: int) -> float:
    """Seconds: of the tables' bytes those to ranks of the same host go over its links, the others
    over the network at the same time. Dense parameters' go round a ring, which leaves a host for
    the next over all of its ways to the network at once (as NCCL lays it)."""
    if ranks == 1:
        return 0.0
    within, between = (REACHED * 1e9 * of for of in (device.host_gb_per_s, device.network_gb_per_s))
    here = (min(ranks, HOST) - 1) / (ranks - 1)
    of_tables = max(moved.tables_sent * here / within, moved.tables_sent * (1 - here) / between)
    ring = within if ranks <= HOST else min(within, HOST * between)
    return of_tables + moved.dense_sent / ring


def _dense_sent(dense: Dense, train: TrainConfig, ranks: int) -> float:
    """Bytes that one rank sends: once a step an all-reduce, which passes all gradients on twice. Of
    what is sharded, in each batch its gradients once, and parameters once; those of blocks twice,
    as each is whole only while it runs."""
    if train.dense == "replicated":
        return NUMBER * 2 * dense.numbers * _elsewhere(ranks)
    passed = 2 * dense.numbers + dense.in_blocks
    return NUMBER * train.accumulate * passed * _elsewhere(ranks)


def _own(dense: Dense, train: TrainConfig, ranks: int) -> float:
    """Numbers that one rank holds."""
    return dense.numbers / (ranks if train.dense == "sharded" else 1)


def _elsewhere(ranks: int) -> float:
    """The share that is not a rank's own."""
    return (ranks - 1) / ranks
