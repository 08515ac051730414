# Numba's decorators and intrinsics have no types.
# mypy: disable-error-code="untyped-decorator,no-untyped-def,call-arg,attr-defined"
"""The id map on a CPU: compiled loops over cache lines of ids and their slots.

A line is 64 bytes: five ids, then their five slots in four bytes each, so that an id is found, or
its place to be, with a look into one line, hardly ever a second. Lines stand in parts, by the upper
bits of the mixed id; every part grows by itself, and no two at the same number of ids: the map
grows in many small steps. Memory answers many requests at once, if they are made at once: so a
block of ids asks for all its lines before it looks at the first. An id that goes leaves no trace:
one that stood behind it, and further from its own line than need be, comes up into its place.
"""

import numpy as np
import torch
from numba import carray, types
from numba.extending import intrinsic

from rayrank.embedding.compiled import compiled
from rayrank.embedding.hashing import mix_one

EMPTY = -1
"""The slot of a place without an id, and of an id that is not there."""
LINE_BYTES, LANES = 64, 5
SLOTS_FROM = 2 * LANES
"""Of a line's sixteen 32-bit words the first that is a slot."""
PART_BITS = 6
PARTS = 1 << PART_BITS
FILLED = 0.8
"""Of the places of a part, how many hold an id when it grows to twice as many."""
BLOCK = 256
"""Ids that ask together."""


class CompiledIdMap:
    """As `IdMap` says."""

    def __init__(self) -> None:
        # No two parts are of one size, now or after any growth.
        self._sizes = 2.0 ** (np.arange(PARTS) / PARTS)
        self._lines = np.zeros(PARTS, np.int64)
        self._free = np.zeros(PARTS, np.int64)
        """How many ids more each part takes before it grows."""
        self._places = np.zeros(PARTS, np.uint64)
        """Where in memory each part begins."""
        self._parts = [np.empty(0, np.uint8)] * PARTS
        for part in range(PARTS):
            self._enlarge(part)

    def find(self, ids: torch.Tensor) -> torch.Tensor:
        slots = np.empty(len(ids), np.int64)
        _find(ids.contiguous().numpy(), self._places, self._lines, slots)
        return torch.from_numpy(slots)

    def find_or_insert(
        self, ids: torch.Tensor, count: torch.Tensor, where: torch.Tensor | None = None
    ) -> torch.Tensor:
        asked, slots = ids.contiguous().numpy(), self.find(ids)
        absent = slots.numpy() == EMPTY
        missing = np.flatnonzero(absent if where is None else absent & where.numpy())
        counted = count.numpy()
        done, given = 0, int(counted)
        while done < len(missing):
            done, given, full = _insert(
                asked,
                missing,
                done,
                self._places,
                self._lines,
                self._free,
                given,
                slots.numpy(),
            )
            if full >= 0:
                self._sizes[full] *= 2
                self._enlarge(full)
        counted[...] = given
        return slots

    def remove(self, ids: torch.Tensor) -> None:
        _remove(ids.contiguous().numpy(), self._places, self._lines, self._free)

    def assign(self, ids: torch.Tensor, slots: torch.Tensor) -> None:
        _assign(ids.contiguous().numpy(), slots.contiguous().numpy(), self._places, self._lines)

    def bytes(self) -> int:
        return sum(part.nbytes for part in self._parts)

    def _enlarge(self, part: int) -> None:
        """To the lines that its size says."""
        lines = int(np.ceil(self._sizes[part]))
        memory = np.empty((lines + 1) * LINE_BYTES, np.uint8)
        begin = -memory.ctypes.data % LINE_BYTES
        table = memory[begin : begin + lines * LINE_BYTES]
        table.view(np.int32).reshape(lines, -1)[:, SLOTS_FROM:] = EMPTY
        moved = _move(self._places[part], self._lines[part], table.ctypes.data, lines)
        self._parts[part], self._places[part] = table, table.ctypes.data
        self._lines[part], self._free[part] = lines, int(FILLED * LANES * lines) - moved


@intrinsic
def _words(context, address):
    """The 64-bit words at an address."""
    return _pointer(types.int64)


@intrinsic
def _halves(context, address):
    """The 32-bit words at an address."""
    return _pointer(types.int32)


def _pointer(of):
    def generate(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(of)(types.uint64), generate


@compiled()
def _part_of(mixed: np.uint64) -> np.int64:
    return np.int64(mixed >> np.uint64(64 - PART_BITS))


@compiled()
def _line_of(mixed: np.uint64, lines: int) -> np.int64:
    # The lower half: the upper bits are all alike within a part.
    return np.int64(((mixed & np.uint64(0xFFFFFFFF)) * np.uint64(lines)) >> np.uint64(32))


@compiled()
def _find(ids: np.ndarray, places: np.ndarray, lines: np.ndarray, slots: np.ndarray) -> int:
    """Fill `slots`. What it returns says nothing, and keeps the compiler from leaving out the early
    looks."""
    parts, first = np.empty(BLOCK, np.int64), np.empty(BLOCK, np.int64)
    seen = 0
    for begin in range(0, len(ids), BLOCK):
        count = min(BLOCK, len(ids) - begin)
        for i in range(count):
            mixed = mix_one(ids[begin + i])
            parts[i] = _part_of(mixed)
            first[i] = _line_of(mixed, lines[parts[i]])
        for i in range(count):
            seen ^= carray(_words(places[parts[i]] + np.uint64(LINE_BYTES * first[i])), 1)[0]
        for i in range(count):
            slots[begin + i], _, _ = _look(
                ids[begin + i], places[parts[i]], lines[parts[i]], first[i]
            )
    return seen


@compiled()
def _look(one: int, place: int, lines: int, line: int) -> tuple[int, int, int]:
    """The slot of an id, or EMPTY; the line and lane where it is, or is to be."""
    while True:
        at = place + np.uint64(LINE_BYTES * line)
        ids, slots = carray(_words(at), LANES), carray(_halves(at), LINE_BYTES // 4)
        found = -1
        # Without a branch; the first lane wins, as behind the last id of a line may be old ones.
        for lane in range(LANES - 1, -1, -1):
            found = lane if ids[lane] == one else found
        if found >= 0 and slots[SLOTS_FROM + found] != EMPTY:
            return np.int64(slots[SLOTS_FROM + found]), line, np.int64(found)
        if slots[SLOTS_FROM + LANES - 1] == EMPTY:
            lane = 0
            while slots[SLOTS_FROM + lane] != EMPTY:
                lane += 1
            return np.int64(EMPTY), line, np.int64(lane)
        line += 1
        if line == lines:
            line = 0


@compiled()
def _look_up(one: int, places: np.ndarray, lines: np.ndarray) -> tuple[int, int, int, int]:
    """The part of an id, and what `_look` says there."""
    mixed = mix_one(one)
    part = int(_part_of(mixed))
    slot, line, lane = _look(one, places[part], lines[part], int(_line_of(mixed, lines[part])))
    return part, slot, line, lane


@compiled()
def _put(one: int, slot: int, place: int, line: int, lane: int) -> None:
    at = place + np.uint64(LINE_BYTES * line)
    carray(_words(at), LANES)[lane] = one
    carray(_halves(at), LINE_BYTES // 4)[SLOTS_FROM + lane] = slot


@compiled()
def _insert(
    ids: np.ndarray,
    missing: np.ndarray,
    done: int,
    places: np.ndarray,
    lines: np.ndarray,
    free: np.ndarray,
    count: int,
    slots: np.ndarray,
) -> tuple[int, int, int]:
    """Give the ids at `missing`, from number `done` on, the slots from `count` on: one that has
    come before, its own. How many of them are done, the new count, and which part must grow before
    the next; -1 where all are done."""
    for number in range(done, len(missing)):
        one = ids[missing[number]]
        part, slot, line, lane = _look_up(one, places, lines)
        if slot == EMPTY:
            if free[part] == 0:
                return number, count, part
            _put(one, count, places[part], line, lane)
            free[part] -= 1
            slot = count
            count += 1
        slots[missing[number]] = slot
    return len(missing), count, -1


@compiled()
def _move(place: int, lines: int, to: int, to_lines: int) -> int:
    """The ids of a part, with their slots, to lines that hold none yet; how many."""
    found = 0
    for line in range(lines):
        at = np.uint64(place) + np.uint64(LINE_BYTES * line)
        ids, slots = carray(_words(at), LANES), carray(_halves(at), LINE_BYTES // 4)
        for lane in range(LANES):
            slot = slots[SLOTS_FROM + lane]
            if slot == EMPTY:
                break
            first = int(_line_of(mix_one(ids[lane]), to_lines))
            _, to_line, to_lane = _look(ids[lane], to, to_lines, first)
            _put(ids[lane], np.int64(slot), to, to_line, to_lane)
            found += 1
    return found


@compiled()
def _remove(ids: np.ndarray, places: np.ndarray, lines: np.ndarray, free: np.ndarray) -> None:
    for number in range(len(ids)):
        part, slot, line, lane = _look_up(ids[number], places, lines)
        if slot != EMPTY:
            _close(places[part], lines[part], line, lane)
            free[part] += 1


@compiled()
def _close(place: int, lines: int, line: int, lane: int) -> None:
    """Take away what stands at a line and lane, so that every other id is found as before: the last
    of a line comes up into the gap, and where the line was full, one that had to go past it comes
    back into it, and leaves a gap of its own."""
    while True:
        slots = carray(_halves(place + np.uint64(LINE_BYTES * line)), LINE_BYTES // 4)
        ids = carray(_words(place + np.uint64(LINE_BYTES * line)), LANES)
        last = LANES - 1
        while slots[SLOTS_FROM + last] == EMPTY:
            last -= 1
        ids[lane], slots[SLOTS_FROM + lane] = ids[last], slots[SLOTS_FROM + last]
        slots[SLOTS_FROM + last] = EMPTY
        if last < LANES - 1:
            return
        back, at = line, np.int64(-1)
        while at < 0:
            back = back + 1 if back + 1 < lines else 0
            of_back = carray(_halves(place + np.uint64(LINE_BYTES * back)), LINE_BYTES // 4)
            ids_back = carray(_words(place + np.uint64(LINE_BYTES * back)), LANES)
            for other in range(LANES):
                if of_back[SLOTS_FROM + other] == EMPTY:
                    return  # no id went past a line that is not full
                first = _line_of(mix_one(ids_back[other]), lines)
                if (back - first) % lines >= (back - line) % lines:
                    at = np.int64(other)
                    break
        slot = np.int64(of_back[SLOTS_FROM + at])
        _put(ids_back[at], slot, place, line, np.int64(LANES - 1))
        line, lane = back, at


@compiled()
def _assign(ids: np.ndarray, to: np.ndarray, places: np.ndarray, lines: np.ndarray) -> None:
    for number in range(len(ids)):
        part, _, line, lane = _look_up(ids[number], places, lines)
        _put(ids[number], to[number], places[part], line, lane)
