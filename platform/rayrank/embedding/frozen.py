"""Tables for serving: what ids start with and what was learned, added up, in half precision.

A frozen table is two arrays that are read where they lie: mapped from a file, they are in memory
once for all replicas of a host.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from rayrank.embedding.buckets import Buckets, build, find
from rayrank.embedding.hashing import table_seed
from rayrank.embedding.lookup import look_up
from rayrank.embedding.tables import LearnedRows, vectors_of
from rayrank.errors import WeightsError

HALF = torch.float16


@dataclass(frozen=True)
class FrozenTable:
    """n places for ids, and a vector for each."""

    buckets: Buckets
    vectors: torch.Tensor
    """float16 [n + 1, dim]: zeros where no id is, and last, for ids that are not there."""


def freeze(name: str, rows: LearnedRows, *, init_std: float, seed: int) -> FrozenTable:
    """A table as training left it, without ids of which nothing was learned. Raises WeightsError
    for a vector that half precision cannot hold."""
    learned = rows.vectors.any(dim=1)
    keys = rows.keys[learned]
    vectors = vectors_of(keys, rows.vectors[learned], table_seed(name, seed), init_std, False)
    half = vectors.to(HALF)
    if not bool(half.isfinite().all()):
        raise WeightsError(
            f"table {name!r}: the vector of an id has a value of {float(vectors.abs().max()):.3g}, "
            f"more than half precision holds ({torch.finfo(HALF).max:.0f})"
        )
    return place(keys, half)


def place(keys: torch.Tensor, half: torch.Tensor) -> FrozenTable:
    """The table of distinct keys int64 [k] with vectors float16 [k, dim]: the same one in whatever
    order they come."""
    buckets, places = build(keys)
    placed = torch.zeros(len(buckets.keys) + 1, half.shape[1], dtype=HALF)
    placed[places] = half
    return FrozenTable(buckets, placed)


def content_of(table: FrozenTable) -> tuple[torch.Tensor, torch.Tensor]:
    """What `place` was given, in the order of places."""
    places = (table.buckets.keys != table.buckets.empty).nonzero().flatten()
    return table.buckets.keys[places], table.vectors[places]


class FrozenTables(nn.Module):
    """Frozen tables as a model calls them (`Tables`).

    On a CPU a lookup allocates nothing once it has seen as many ids: what it returns is valid until
    the next one in the same thread.
    """

    def __init__(self, tables: Mapping[str, FrozenTable]) -> None:
        super().__init__()
        self._tables = nn.ModuleDict({name: _Table(table) for name, table in tables.items()})

    def forward(self, ids: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """{table: ids int64 [n]} -> {table: vectors float32 [n, dim]}."""
        return {name: self._tables[name](asked) for name, asked in ids.items()}


class _Table(nn.Module):
    """One of them; its arrays go where the model goes."""

    keys: torch.Tensor
    vectors: torch.Tensor

    def __init__(self, table: FrozenTable) -> None:
        super().__init__()
        self.empty, self.reach = table.buckets.empty, table.buckets.reach
        self.register_buffer("keys", table.buckets.keys, persistent=False)
        self.register_buffer("vectors", table.vectors, persistent=False)
        self._scratch = threading.local()

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """int64 [n] -> float32 [n, dim] (float64 where the model was made that)."""
        buckets = Buckets(self.keys, self.empty, self.reach)
        if self.vectors.dtype == HALF and self.vectors.device.type == "cpu":
            return look_up(ids, buckets, self.vectors, self._scratch_for(len(ids)))
        found = self.vectors.index_select(0, find(ids, buckets))
        return found.to(torch.promote_types(found.dtype, torch.float32))

    def _scratch_for(self, count: int) -> torch.Tensor:
        held: torch.Tensor | None = getattr(self._scratch, "held", None)
        if held is None or len(held) < count:
            with torch.inference_mode(False):  # of no mode: the next lookup may be in another
                held = self._scratch.held = torch.empty(count, self.vectors.shape[1])
        return held[:count]
