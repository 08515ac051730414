"""Packed batches: whole users up to a cost budget, one packed batch an Arrow row.

A row can be dealt, split off or sent as one, so no splitter can ever cut a user. Batches are
packed anew for every epoch, from rows in an order that (seed, epoch) alone decides.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from rayrank.storage import AnyPath, files_in

USERS = "users"


class Packing(NamedTuple):
    """What decides, with the rows, which batches there are and in which order."""

    seed: int
    epochs: int
    max_cost: float
    """Of a batch."""
    pair_cost: float
    """Of a visible pair, in tokens."""


def row_costs(rows: pa.Table, pair_cost: float) -> np.ndarray:
    """float64 [rows]: tokens + pair_cost x visible pairs, the cost of encoding each user row."""
    return rows["tokens"].to_numpy() + pair_cost * rows["visible_pairs"].to_numpy()


def pack(costs: np.ndarray, max_cost: float) -> list[np.ndarray]:
    """Indices of consecutive rows per batch, each batch's costs adding up to `max_cost` at most.

    A row that alone costs more is a batch of its own.
    """
    batches: list[np.ndarray] = []
    start, total = 0, 0.0
    for row, cost in enumerate(costs.tolist()):
        if row > start and total + cost > max_cost:
            batches.append(np.arange(start, row))
            start, total = row, 0.0
        total += cost
    if start < len(costs):
        batches.append(np.arange(start, len(costs)))
    return batches


class PackedBatches:
    """The packed batches of one epoch, as `data.pack_epochs` wrote them: Arrow IPC, mapped into
    memory (or read batch by batch from an object store), one record batch of one row for each."""

    def __init__(self, folder: AnyPath, seed: int) -> None:
        self._files: list[pa.RecordBatchFileReader] = []
        locations = []
        for path in files_in(folder, "*.arrow"):
            local = isinstance(path, Path)
            reader = pa.ipc.open_file(pa.memory_map(str(path)) if local else path.open("rb"))
            locations += [(len(self._files), i) for i in range(reader.num_record_batches)]
            self._files.append(reader)
        # Batches of one file are alike in size and age: deal them in an order of no pattern.
        order = np.random.default_rng(seed).permutation(len(locations))
        self._locations = [locations[i] for i in order]

    def __len__(self) -> int:
        return len(self._locations)

    def rows(self, number: int) -> pa.Table:
        """The user rows of batch `number`."""
        file, index = self._locations[number]
        users = self._files[file].get_batch(index).column(USERS)
        return pa.Table.from_struct_array(users.flatten())

    def deal(self, rank: int, world_size: int, done: int) -> Iterator[pa.Table]:
        """One rank's share of the batches from number `done` on, a batch per step. In the last
        step, ranks for which none is left get an empty table, so that all take part in it."""
        for first in range(done, len(self), world_size):
            number = first + rank
            yield self.rows(number) if number < len(self) else self.rows(0).slice(0, 0)
