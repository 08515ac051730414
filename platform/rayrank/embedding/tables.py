"""What every kind of table offers a model: ids of each table in, vectors of each table out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Protocol

import torch
from torch import nn

from rayrank.embedding.hashing import initial_vectors, mix, table_seed
from rayrank.embedding.id_map import EMPTY, id_map
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
    """What one rank holds of one table, in the order of its rows, with all that is kept of each."""

    momentum: torch.Tensor
    """float32 [n]: the accumulated squared gradients of row-wise Adagrad."""
    last: torch.Tensor
    """int32 [n]: the step in which the id was last seen, by the tables' own count."""
    sightings: torch.Tensor
    """int32 [n]: the steps in which it was seen."""
    row: torch.Tensor
    """int32 [n]: where it stands among all rows of its rank and width."""

    def to(self, device: torch.device) -> "ShardRows":
        """The same on a device."""
        return ShardRows(*(getattr(self, f.name).to(device) for f in fields(self)))

    @staticmethod
    def joined(parts: Sequence["ShardRows"]) -> "ShardRows":
        """End to end."""
        names = [f.name for f in fields(ShardRows)]
        return ShardRows(*(torch.cat([getattr(part, name) for part in parts]) for name in names))

    @staticmethod
    def none(dim: int) -> "ShardRows":
        """Of no id."""
        whole, number = torch.empty(0, dtype=torch.int64), torch.empty(0)
        count = whole.int()
        return ShardRows(whole, torch.empty(0, dim), number, count, count, count)

    def at(self, which: torch.Tensor) -> "ShardRows":
        """Some of them: by a mask or by numbers."""
        return ShardRows(*(getattr(self, f.name)[which] for f in fields(self)))


class LocalTables(nn.Module):
    """Dynamic tables of one process, on torch alone: for serving, tests and ten-line loops.

    In training mode a new id gets a slot; otherwise it gets zeros and nothing is kept. Weights are
    ordinary parameters (gradients are dense).
    """

    def __init__(self, tables: dict[str, Table], *, init_std: float, seed: int) -> None:
        super().__init__()
        self._tables, self._init_std, self._seed = tables, init_std, seed
        self._ids = {name: _Ids(table.capacity) for name, table in tables.items()}
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
        ids_of = self._ids[name]
        rows = ids_of.rows_of(distinct, self.training)
        if self.training and ids_of.count > table.capacity:
            raise CapacityError(
                f"table {name!r} has met {int(ids_of.count)} ids and holds {table.capacity}; "
                f"raise tables.{name}.capacity in schema.yaml"
            )
        learned = nn.functional.embedding(rows, self.learned[name])
        seed = table_seed(name, self._seed)
        return vectors_of(distinct, learned, seed, self._init_std, self.training)[inverse]

    def rows(self, name: str) -> LearnedRows:
        """Every id of a table and what was learned for it."""
        used = slice(1, int(self._ids[name].count) + 1)
        keys = self._ids[name].keys[used].clone()
        return LearnedRows(keys, self.learned[name].detach()[used].clone())

    def _apply(
        self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True
    ) -> "LocalTables":
        # What `.to(device)` calls: the id maps, which are no modules, go where the weights go.
        super()._apply(fn, recurse)
        for ids in self._ids.values():
            ids.move(fn)
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
            local._ids[name].rows_of(learned.keys, True)
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


class _Ids:
    """The ids of one table of one process, and the row of each: 1, 2, …; UNKNOWN for the rest."""

    def __init__(self, capacity: int) -> None:
        self._map, self.count = id_map(capacity), torch.zeros((), dtype=torch.int64)
        self.keys = torch.zeros(capacity + 1, dtype=torch.int64)

    def rows_of(self, keys: torch.Tensor, training: bool) -> torch.Tensor:
        """int64 [n]. In training new keys get rows; beyond the capacity only `count` tells."""
        if not training:
            return self._map.find(keys) - EMPTY + UNKNOWN
        slots = self._map.find_or_insert(keys, self.count)
        rows = torch.where(slots + 1 < len(self.keys), slots + 1, UNKNOWN)
        self.keys[rows] = keys
        return rows

    def move(self, to: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """To where `to` takes tensors: another device, or nowhere."""
        keys = to(self.keys)
        if keys.device == self.keys.device:
            return
        held = keys[1 : int(self.count) + 1]
        self.keys, self._map = keys, id_map(len(keys) - 1, keys.device)
        self.count = torch.zeros((), dtype=torch.int64, device=keys.device)
        self._map.find_or_insert(held, self.count)
