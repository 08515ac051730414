# Numba's decorators have no types.
# mypy: disable-error-code="untyped-decorator"
"""A hash table of 64-bit keys that lies in memory as it lies in a file.

Keys stand in buckets of eight, a cache line: to find one costs a look into a single line, hardly
ever a second. A key is in the bucket that its upper half names, or, where that was full, in the
first after it that was not. Places without a key hold one value that is no key.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numba import njit

from rayrank.embedding.hashing import mix

LANES = 8
FILLED = 0.75
"""How many of the places hold a key: more would send many on to another bucket."""
AHEAD = 16
"""Of how many ids the lines are asked for before the first is looked at."""
WORTH_A_THREAD = 8192
"""Fewer ids are found sooner than another thread wakes up."""


@dataclass(frozen=True)
class Buckets:
    """n places in buckets of LANES, in the order of memory."""

    keys: torch.Tensor
    """int64 [n]: `mix` of the ids."""
    empty: int
    """What stands where no key does."""
    reach: int
    """In how many buckets, from its own on, a key may stand."""


def build(keys: torch.Tensor) -> tuple[Buckets, torch.Tensor]:
    """Buckets of distinct keys int64 [k], and the place of each, int64 [k]. The same for the same
    keys, in whatever order they come."""
    order = torch.argsort(keys)
    ascending = keys[order].numpy()
    buckets = max(1, -(-len(keys) // int(FILLED * LANES)))
    free = np.setdiff1d(np.arange(len(keys) + 1), ascending)  # one more than there are keys
    found = np.full(buckets * LANES, free[0], np.int64)
    places, reach = _place(ascending, found, free[0])
    of_keys = torch.empty_like(keys)
    of_keys[order] = torch.from_numpy(places)
    return Buckets(torch.from_numpy(found), int(free[0]), reach), of_keys


def find(ids: torch.Tensor, within: Buckets, out: torch.Tensor) -> torch.Tensor:
    """`out`, int64 [ids], filled with the place of each id; the number of places for one that is
    not there, or a place where no key is. On CPUs it allocates nothing; on GPUs it waits for
    nothing, so that a CUDA graph can hold it."""
    if ids.device.type != "cpu":
        return out.copy_(find_by_torch(ids, within))
    arrays = ids.numpy(), within.keys.numpy(), within.empty, out.numpy()
    _over_threads(len(ids), lambda first, last: _find(*arrays, first, last))
    return out


def find_by_torch(ids: torch.Tensor, within: Buckets) -> torch.Tensor:
    """As `find`, on any device, in PyTorch's operations; every bucket within reach is looked at."""
    key, keys_BL = mix(ids), within.keys.view(-1, LANES)
    buckets = len(keys_BL)
    first = _upper_half(key) * buckets >> 32
    found = torch.full_like(key, len(within.keys))
    for step in range(within.reach):
        bucket = (first + step) % buckets
        hit = keys_BL[bucket] == key[:, None]
        found = torch.where(hit.any(1), LANES * bucket + hit.int().argmax(1), found)
    return found


def _upper_half(key: torch.Tensor) -> torch.Tensor:
    return (key >> 32) & 0xFFFFFFFF


@njit(nogil=True)
def _bucket(key: np.int64, buckets: int) -> np.int64:
    return np.int64(((np.uint64(key) >> np.uint64(32)) * np.uint64(buckets)) >> np.uint64(32))


@njit(nogil=True)
def _mix(x: np.int64) -> np.int64:
    # As `hashing.mix`.
    mixed = np.uint64(x)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.int64(mixed ^ (mixed >> np.uint64(31)))


@njit(nogil=True)
def _place(ascending: np.ndarray, keys: np.ndarray, empty: int) -> tuple[np.ndarray, int]:
    buckets = len(keys) // LANES
    places = np.empty(len(ascending), np.int64)
    reach = 1
    for i in range(len(ascending)):
        bucket, steps = int(_bucket(ascending[i], buckets)), 1
        while keys[LANES * bucket + LANES - 1] != empty:
            bucket, steps = (bucket + 1) % buckets, steps + 1
        place = LANES * bucket
        while keys[place] != empty:
            place += 1
        keys[place], places[i] = ascending[i], place
        reach = max(reach, steps)
    return places, reach


@njit(nogil=True)
def _find(
    ids: np.ndarray, keys: np.ndarray, empty: int, out: np.ndarray, first: int, last: int
) -> int:
    """What it returns says nothing, and keeps the compiler from leaving out the early looks."""
    buckets = len(keys) // LANES
    seen = 0
    for begin in range(first, last, AHEAD):
        for i in range(begin, min(begin + AHEAD, last)):
            out[i] = _mix(ids[i])
            # Memory answers many at once, if it is asked for many at once.
            seen ^= keys[LANES * _bucket(out[i], buckets)]
        for i in range(begin, min(begin + AHEAD, last)):
            key, found = out[i], len(keys)
            bucket = int(_bucket(key, buckets))
            for _ in range(buckets):
                place = LANES * bucket
                for lane in range(LANES):
                    found = place + lane if keys[place + lane] == key else found
                if found < len(keys) or keys[place + LANES - 1] == empty:
                    break
                bucket = (bucket + 1) % buckets
            out[i] = found
    return seen


def _over_threads(count: int, work: Callable[[int, int], object]) -> None:
    """`work(first, last)` on even parts of 0..count, at once, where there are many."""
    parts = max(1, min(torch.get_num_threads(), count // WORTH_A_THREAD))
    cuts = [count * part // parts for part in range(parts + 1)]
    others = [
        _pool(torch.get_num_threads(), os.getpid()).submit(work, cuts[part], cuts[part + 1])
        for part in range(1, parts)
    ]
    work(cuts[0], cuts[1])
    for other in others:
        other.result()


@cache
def _pool(threads: int, _process: int) -> ThreadPoolExecutor:
    """Of a process's own: a fork has none of its parent's threads."""
    return ThreadPoolExecutor(threads, thread_name_prefix="tables")
