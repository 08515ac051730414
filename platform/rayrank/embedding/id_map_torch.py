"""The id map in torch: the reference, and what runs on devices that are no CPU."""

from collections.abc import Callable

import torch

from rayrank.embedding.hashing import mix
from rayrank.embedding.id_map_cpu import EMPTY

SMALLEST = 64


class TorchIdMap:
    """An open-addressing hash table of torch tensors, probed for whole batches at once.

    Slots are given out in the order in which ids are first inserted, 0, 1, 2, …
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self._keys = torch.zeros(SMALLEST, dtype=torch.int64, device=device)
        self._slots = torch.full((SMALLEST,), EMPTY, dtype=torch.int64, device=device)
        self._ids = torch.zeros(SMALLEST // 2, dtype=torch.int64, device=device)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def ids(self) -> torch.Tensor:
        """Every id, in the order of its slot: int64 [len]."""
        return self._ids[: self._count]

    def find(self, ids: torch.Tensor) -> torch.Tensor:
        """The slot of each id, int64 [n]; -1 for an id that was never inserted."""
        mask = len(self._keys) - 1
        found = torch.full_like(ids, EMPTY)
        asking = torch.arange(len(ids), device=ids.device)
        position = mix(ids) & mask
        while len(asking):
            slot, key = self._slots[position], self._keys[position]
            hit = (slot != EMPTY) & (key == ids[asking])
            found[asking[hit]] = slot[hit]
            probe_on = (slot != EMPTY) & ~hit
            asking, position = asking[probe_on], (position[probe_on] + 1) & mask
        return found

    def find_or_insert(self, ids: torch.Tensor) -> torch.Tensor:
        """The slot of each id, int64 [n], giving the next free ones to new ids in order of
        their first occurrence."""
        slots = self.find(ids)
        missing = slots == EMPTY
        if not bool(missing.any()):
            return slots
        candidates = ids[missing]
        distinct, inverse = torch.unique(candidates, return_inverse=True)
        # Order of first occurrence, so that slots do not depend on how ids compare.
        first = torch.full_like(distinct, len(candidates)).scatter_reduce_(
            0, inverse, torch.arange(len(candidates), device=ids.device), "amin"
        )
        order = torch.argsort(first)
        self._insert(distinct[order])
        rank = torch.empty_like(order)
        rank[order] = torch.arange(len(order), device=ids.device)
        slots[missing] = self._count - len(distinct) + rank[inverse]
        return slots

    def apply(self, move: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """Take what `move` makes of every tensor, on another device for example."""
        self._keys, self._slots, self._ids = map(move, (self._keys, self._slots, self._ids))

    def _insert(self, new_ids: torch.Tensor) -> None:
        count = self._count + len(new_ids)
        if 2 * count > len(self._keys):
            size = 1 << (4 * count - 1).bit_length()
            self._keys = torch.zeros(size, dtype=torch.int64, device=new_ids.device)
            self._slots = torch.full_like(self._keys, EMPTY)
            self._ids = torch.cat([self.ids(), self._ids.new_zeros(size // 2 - self._count)])
            self._place(self.ids(), 0)
        self._ids[self._count : count] = new_ids
        self._place(new_ids, self._count)
        self._count = count

    def _place(self, ids: torch.Tensor, first_slot: int) -> None:
        mask = len(self._keys) - 1
        slot = torch.arange(first_slot, first_slot + len(ids), device=ids.device)
        position = mix(ids) & mask
        claim = torch.empty_like(self._slots)
        while len(ids):
            free = self._slots[position] == EMPTY
            # Several ids may want one free cell: they all write, one stays, the others probe on.
            claim[position[free]] = slot[free]
            won = free & (claim[position] == slot)
            self._keys[position[won]] = ids[won]
            self._slots[position[won]] = slot[won]
            ids, slot, position = ids[~won], slot[~won], (position[~won] + 1) & mask
