"""The id map in torch: what the other bodies are measured against."""

from collections.abc import Callable

import torch
from torch import Tensor

from rayrank.embedding.id_map_cpu import EMPTY


class TorchIdMap:
    """As `IdMap` says, on any device: the ids in ascending order, and their slots.

    It grows without bound. Insertion and removal copy the whole map.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self._ids = torch.empty(0, dtype=torch.int64, device=device)
        self._slots = torch.empty_like(self._ids)

    def find(self, ids: Tensor) -> Tensor:
        """The slot of each id, int64 [n]; EMPTY for one that is not there."""
        if not len(self._ids):
            return torch.full_like(ids, EMPTY)
        place = self._place(ids).clamp(max=len(self._ids) - 1)
        return torch.where(self._ids[place] == ids, self._slots[place], EMPTY)

    def find_or_insert(self, ids: Tensor, count: Tensor, where: Tensor | None = None) -> Tensor:
        """The slot of each id, int64 [n]. New ones get count, count + 1, … in the order of their
        first occurrence, and `count`, int64 [], is advanced in place. Ids that are not in `where`,
        bool [n], are looked up in the map as it was before."""
        slots = self.find(ids)
        asking = slots == EMPTY
        if where is not None:
            asking &= where
        new, which = torch.unique(ids[asking], return_inverse=True)
        first = torch.full_like(new, len(ids)).scatter_reduce_(
            0, which, torch.arange(len(which), device=ids.device), "amin"
        )
        given = count + first.argsort().argsort()
        slots[asking] = given[which]
        count += len(new)
        self._ids, order = torch.cat([self._ids, new]).sort()
        self._slots = torch.cat([self._slots, given])[order]
        return slots

    def remove(self, ids: Tensor) -> None:
        """Forget these distinct ids, which are there."""
        stay = torch.ones_like(self._ids, dtype=torch.bool)
        stay[self._place(ids)] = False
        self._ids, self._slots = self._ids[stay], self._slots[stay]

    def assign(self, ids: Tensor, slots: Tensor) -> None:
        """Give these distinct ids, which are there, other slots, int64 [n]."""
        self._slots[self._place(ids)] = slots

    def apply(self, move: Callable[[Tensor], Tensor]) -> None:
        """Take what `move` makes of every tensor, on another device for example."""
        self._ids, self._slots = move(self._ids), move(self._slots)

    def bytes(self) -> int:
        """Of memory."""
        return self._ids.nbytes + self._slots.nbytes

    def _place(self, ids: Tensor) -> Tensor:
        """Of each id, or where it were to be inserted."""
        return torch.searchsorted(self._ids, ids.contiguous())
