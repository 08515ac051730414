# Triton reads a kernel's annotations as its own, so kernels have none for mypy.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"
"""The id map on a GPU: open addressing in Triton, one thread for each id.

A place is a key and a slot. The key alone says whether a place is taken: one compare-and-swap takes
it, so none is ever half taken and no thread waits for another. 0 is the key of a free place; the id
0 has a place of its own, behind all others. A key without a slot was removed; it stays where it is,
as others were placed behind it, until the map is built anew.

Which of a batch's new ids came first is found in a second table, of the batch alone: threads race
for its places, and the least position in the batch wins. So slots do not depend on who was fast,
and the map itself gets no more ids than it may hold.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from rayrank.embedding.id_map_cpu import EMPTY
from rayrank.embedding.on_gpu import places_for

FREE = tl.constexpr(0)
NO_SLOT = tl.constexpr(EMPTY)
# One id for each of a program's 4 x 32 threads: each goes its own way through memory.
BLOCK = 128


class TritonIdMap:
    """As `IdMap` says, with room for `rows` ids (fewer than 2^31), all allocated here.

    Slots are below `rows`: a new id whose slot is not gets EMPTY and no place, though `count` is
    advanced by it too. The ids that are there must have slots apart from each other and below the
    count; else there may be more of them than places.
    """

    def __init__(self, rows: int, device: torch.device | str) -> None:
        # At least half of the places are free of ids, and at least a quarter of removed ones too:
        # so every way ends.
        self._rows, self._places = rows, places_for(rows)
        self._keys = torch.zeros(self._places + 1, dtype=torch.int64, device=device)
        self._slots = torch.full_like(self._keys, EMPTY, dtype=torch.int32)
        self._removed = 0

    def find(self, ids: Tensor) -> Tensor:
        """The slot of each id, int64 [n]; EMPTY for one that is not there. The host does not wait
        for the device."""
        ids = ids.contiguous()
        slots = torch.empty_like(ids)
        _find_kernel[_grid(ids)](
            ids, slots, self._keys, self._slots, len(ids), self._places - 1, BLOCK=BLOCK
        )
        return slots

    def find_or_insert(self, ids: Tensor, count: Tensor, where: Tensor | None = None) -> Tensor:
        """The slot of each id, int64 [n]. New ones get count, count + 1, … in the order of their
        first occurrence, and `count`, int64 [], is advanced in place. Ids that are not in `where`,
        bool [n], are looked up in the map as it was before. The host does not wait for the device.
        """
        ids, slots = ids.contiguous(), self.find(ids)
        asking = slots == EMPTY
        if where is not None:
            asking &= where
        places = places_for(len(ids))
        keys = torch.zeros(places + 1, dtype=torch.int64, device=ids.device)
        first, place = torch.full_like(keys, len(ids)), torch.empty_like(ids)
        _first_kernel[_grid(ids)](
            ids, asking, place, keys, first, len(ids), places - 1, BLOCK=BLOCK
        )
        first = first[place]
        new = first == torch.arange(len(ids), device=ids.device)
        _give_kernel[_grid(ids)](
            ids, asking, first, new.cumsum(0), count, slots, self._keys, self._slots,
            len(ids), self._rows, self._places - 1, BLOCK=BLOCK,
        )  # fmt: skip
        count += new.sum()
        return slots

    def remove(self, ids: Tensor) -> None:
        """Forget these distinct ids, which are there. The host may wait for the device."""
        self._put(ids, torch.full_like(ids, EMPTY))
        self._removed += len(ids)
        if self._removed > self._places // 4:
            self._rebuild()

    def assign(self, ids: Tensor, slots: Tensor) -> None:
        """Give these distinct ids, which are there, other slots, int64 [n]."""
        self._put(ids, slots)

    def bytes(self) -> int:
        """Of memory."""
        return self._keys.nbytes + self._slots.nbytes

    def _put(self, ids: Tensor, slots: Tensor) -> None:
        _put_kernel[_grid(ids)](
            ids.contiguous(), slots.contiguous(), self._keys, self._slots,
            len(ids), self._places - 1, BLOCK=BLOCK,
        )  # fmt: skip

    def _rebuild(self) -> None:
        """Without the removed ids."""
        there = self._slots != EMPTY
        ids, slots = self._keys[there], self._slots[there]
        self._keys.zero_()
        self._slots.fill_(EMPTY)
        self._put(ids, slots)
        self._removed = 0


def _grid(ids: Tensor) -> tuple[int]:
    return (triton.cdiv(len(ids), BLOCK),)


@triton.jit
def _mix(x):
    """As `hashing.mix`."""
    x = x.to(tl.uint64, bitcast=True)
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB
    return (x ^ (x >> 31)).to(tl.int64, bitcast=True)


@triton.jit
def _place_of(ids, asking, keys_ptr, last, CLAIM: tl.constexpr):
    """Of each id that asks: where it is, or else the first free place on its way, which CLAIM
    makes its own. last: the place before that of the id 0; a power of two, less one."""
    last = last.to(tl.int64)
    place = tl.where(ids == FREE, last + 1, _mix(ids) & last)
    asking = asking & (ids != FREE)
    while tl.max(asking.to(tl.int32), 0) > 0:
        if CLAIM:
            # Key by key, so no order among different words of memory matters. Triton swaps in all
            # lanes: those that do not ask put a free key for a free key.
            taken = tl.where(asking, ids, FREE)
            seen = tl.atomic_cas(keys_ptr + place, tl.zeros_like(ids), taken, sem="relaxed")
        else:
            seen = tl.load(keys_ptr + place, mask=asking, other=FREE)
        asking = asking & (seen != ids) & (seen != FREE)
        place = tl.where(asking, (place + 1) & last, place)
    return place


@triton.jit(do_not_specialize=["n", "last"])
def _find_kernel(ids_ptr, out_ptr, keys_ptr, slots_ptr, n, last, BLOCK: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    ids = tl.load(ids_ptr + i, mask=i < n, other=FREE)
    place = _place_of(ids, i < n, keys_ptr, last, CLAIM=False)
    # A free place has no slot.
    tl.store(out_ptr + i, tl.load(slots_ptr + place, mask=i < n, other=NO_SLOT), mask=i < n)


@triton.jit(do_not_specialize=["n", "last"])
def _first_kernel(
    ids_ptr, asking_ptr, place_ptr, keys_ptr, first_ptr, n, last, BLOCK: tl.constexpr
):
    """In the batch's own table: the place of each id that asks, and there its least position."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    ids = tl.load(ids_ptr + i, mask=i < n, other=FREE)
    asking = tl.load(asking_ptr + i, mask=i < n, other=0) != 0
    place = _place_of(ids, asking, keys_ptr, last, CLAIM=True)
    tl.atomic_min(first_ptr + place, i, mask=asking, sem="relaxed")
    tl.store(place_ptr + i, place, mask=i < n)


@triton.jit(do_not_specialize=["n", "rows", "last"])
def _give_kernel(
    ids_ptr, asking_ptr, first_ptr, rank_ptr, count_ptr, out_ptr, keys_ptr, slots_ptr,
    n, rows, last, BLOCK: tl.constexpr,
):  # fmt: skip
    """Each id that asks gets the slot of its first occurrence, also in the map. rank: of each
    position, how many first occurrences there are up to and with it."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    ids = tl.load(ids_ptr + i, mask=i < n, other=FREE)
    asking = tl.load(asking_ptr + i, mask=i < n, other=0) != 0
    first = tl.load(first_ptr + i, mask=asking, other=0)
    slot = tl.load(count_ptr) + tl.load(rank_ptr + first, mask=asking, other=0) - 1
    fits = asking & (slot < rows)
    tl.store(out_ptr + i, slot, mask=fits)
    # Where an id comes again, all its threads put the same.
    place = _place_of(ids, fits, keys_ptr, last, CLAIM=True)
    tl.store(slots_ptr + place, slot, mask=fits)


@triton.jit(do_not_specialize=["n", "last"])
def _put_kernel(ids_ptr, given_ptr, keys_ptr, slots_ptr, n, last, BLOCK: tl.constexpr):
    """Give each id this slot, and a place where it has none."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    ids = tl.load(ids_ptr + i, mask=i < n, other=FREE)
    place = _place_of(ids, i < n, keys_ptr, last, CLAIM=True)
    tl.store(slots_ptr + place, tl.load(given_ptr + i, mask=i < n, other=0), mask=i < n)
