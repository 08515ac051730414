"""What every kind of table offers a model: ids of each table in, vectors of each table out."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Protocol

import torch
from torch import nn

from rayrank.embedding.hashing import initial_vectors, mix, table_seed
from rayrank.embedding.id_map import EMPTY, IdMap, id_map, moved
from rayrank.errors import CapacityError
from rayrank.schema import Table

UNKNOWN = 0
"""The slot of ids that were never trained: its learned part stays zero."""


class Tables(Protocol):
    """Callable: {table: ids int64 [n]} -> {table: vectors float32 [n, dim]}.

    Outside of training an id of which nothing was learned has a vector of zeros, the mean of those
    that ids start with: it is an unknown one, and not a random one.
    """

    def __call__(self, ids: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]: ...


@dataclass(frozen=True)
class LearnedRows:
    """What training taught one table: keys and values apart, in no particular order."""

    keys: torch.Tensor
    """int64 [n]: `mix` of the ids. Ids as companies number them cluster; mixed ones do not, so
    they are dealt evenly to ranks, and `mix` is a bijection, so they are as distinct."""
    vectors: torch.Tensor
    """float32 [n, dim]: the learned part, to be added to the initial vectors."""


@dataclass(frozen=True)
class ShardRows(LearnedRows):
    """What one rank holds of one table, in the order of its slots, with optimizer state."""

    momentum: torch.Tensor
    """float32 [n]: the accumulated squared gradients of row-wise Adagrad."""

    def to(self, device: torch.device) -> "ShardRows":
        """The same on a device."""
        return ShardRows(*(getattr(self, f.name).to(device) for f in fields(self)))


class LocalTables(nn.Module):
    """Dynamic tables of one process, on torch alone: for serving, tests and ten-line loops.

    In training mode a new id gets a slot; otherwise it gets zeros and nothing is kept. Weights are
    ordinary parameters (gradients are dense).
    """

    def __init__(self, tables: dict[str, Table], *, init_std: float, seed: int) -> None:
        super().__init__()
        self._tables, self._init_std, self._seed = tables, init_std, seed
        self._maps = {name: id_map() for name in tables}
        self.learned = nn.ParameterDict(
            {
                name: nn.Parameter(torch.zeros(table.capacity + 1, table.dim))
                for name, table in tables.items()
            }
        )

    def forward(self, ids: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """{table: ids [n]} -> {table: vectors [n, dim]}. CapacityError when a table is full."""
        return {name: self._lookup(name, table_ids) for name, table_ids in ids.items()}

    def _lookup(self, name: str, ids: torch.Tensor) -> torch.Tensor:
        table = self._tables[name]
        distinct, inverse = torch.unique(mix(ids), return_inverse=True)
        slots = slots_of(self._maps[name], distinct, self.training, table.capacity, name)
        learned = nn.functional.embedding(slots, self.learned[name])
        seed = table_seed(name, self._seed)
        return vectors_of(distinct, learned, seed, self._init_std, self.training)[inverse]

    def rows(self, name: str) -> LearnedRows:
        """Every id of a table and what was learned for it."""
        keys = self._maps[name].ids()
        return LearnedRows(keys.clone(), self.learned[name].detach()[1 : len(keys) + 1].clone())

    def _apply(
        self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True
    ) -> "LocalTables":
        # What `.to(device)` calls: the id maps, which are no modules, go where the weights go.
        super()._apply(fn, recurse)
        self._maps = {name: moved(ids, fn) for name, ids in self._maps.items()}
        return self

    @staticmethod
    def of_rows(
        tables: dict[str, Table], rows: dict[str, LearnedRows], *, init_std: float, seed: int
    ) -> "LocalTables":
        """Tables that hold exactly `rows`, in evaluation mode; nothing more fits in."""
        exact = {
            name: table.model_copy(update={"capacity": max(len(rows[name].keys), 1)})
            for name, table in tables.items()
        }
        local = LocalTables(exact, init_std=init_std, seed=seed)
        for name, learned in rows.items():
            local._maps[name].find_or_insert(learned.keys)
            with torch.no_grad():
                local.learned[name][1 : len(learned.keys) + 1] = learned.vectors
        return local.eval()


def vectors_of(
    keys: torch.Tensor, learned: torch.Tensor, seed: int, init_std: float, training: bool
) -> torch.Tensor:
    """[n, dim]: what ids start with, and what was learned of them; `keys` are `mix` of the ids."""
    start = initial_vectors(keys, learned.shape[1], seed, init_std).to(learned.dtype)
    if not training:  # a start of which nothing came is noise
        start *= learned.any(dim=1, keepdim=True)
    return learned + start


def slots_of(
    ids: IdMap, asked: torch.Tensor, training: bool, capacity: int, name: str
) -> torch.Tensor:
    """The weight row of each id: 1 + its slot, or UNKNOWN outside training.

    Raises CapacityError, naming the table, when training meets more ids than it may hold.
    """
    if not training:
        return ids.find(asked) - EMPTY + UNKNOWN
    slots = ids.find_or_insert(asked)
    if len(ids) > capacity:
        raise CapacityError(
            f"table {name!r} has met {len(ids)} ids on one worker and holds {capacity} there; "
            f"raise tables.{name}.capacity in schema.yaml"
        )
    return slots + 1
