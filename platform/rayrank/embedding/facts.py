"""What tables say of a step: with the totals that it sums over all ranks anyway."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from rayrank.embedding.budget import row_bytes
from rayrank.embedding.pool import Pool


class TableFacts(NamedTuple):
    """Of one table in one step, over all ranks."""

    ids: int
    """That have a row."""
    asked: int
    """Ids that a rank was asked for, each once by every other's batch."""
    inserted: int
    """Of them the new ones, which got a row."""
    refused: int
    """Of them those that were not seen in enough steps for one."""
    waiting: int
    """Ids that are not seen in enough steps yet."""
    evicted: int
    """Ids that went since the step before."""
    bytes: int
    """Of the rows in use, with all that is kept of each id."""
    capacity: int
    """The most ids it may have."""

    @property
    def hit_rate(self) -> float:
        """The share of those asked for that had a row already; 1 where none was."""
        return 1 - (self.inserted + self.refused) / max(self.asked, 1)


class StepTables(NamedTuple):
    """Of all tables."""

    tables: dict[str, TableFacts]
    beyond: dict[int, int]
    """Width -> ids for which a rank has no row, or no room to wait, over all ranks."""


def counts_of(pools: Sequence[Pool]) -> torch.Tensor:
    """Float64 on the pools' device, and counted anew from now on: to be summed over ranks."""
    told = []
    for pool in pools:
        device = pool.device
        none = torch.zeros((), dtype=torch.int64, device=device)
        beyond = [(of.count - of.rows).clamp(min=0) for of in (pool, *pool.waiting.values())]
        waiting = [pool.waiting[n].count if n in pool.waiting else none for n in pool.tables]
        told += [
            pool.sizes,
            torch.tensor(pool.asked, device=device),
            pool.inserted,
            pool.refused,
            torch.stack(waiting),
            torch.tensor(pool.evicted, device=device),
            torch.stack(beyond).sum()[None],
        ]
        pool.inserted, pool.refused = torch.zeros_like(pool.sizes), torch.zeros_like(pool.sizes)
        pool.asked, pool.evicted = [0] * len(pool.tables), [0] * len(pool.tables)
    return torch.cat([of.double() for of in told])


def facts_of(pools: Sequence[Pool], dims: Sequence[int], counts: torch.Tensor) -> StepTables:
    """What the sum of all ranks' `counts_of` says; counts: on the CPU."""
    found, left = StepTables({}, {}), counts.long().tolist()
    for pool, dim in zip(pools, dims, strict=True):
        count = len(pool.tables)
        of_tables, (beyond, *left) = left[: 6 * count], left[6 * count :]
        for number, name in enumerate(pool.tables):
            ids, asked, inserted, refused, waiting, evicted = of_tables[number::count]
            capacity, held = pool.rules[name].capacity, ids * row_bytes(dim)
            found.tables[name] = TableFacts(
                ids, asked, inserted, refused, waiting, evicted, held, capacity
            )
        found.beyond[dim] = beyond
    return found
