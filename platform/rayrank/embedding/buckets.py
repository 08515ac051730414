"""A hash table of 64-bit keys that lies in memory as it lies in a file.

Keys stand in buckets of eight, a cache line: to find one costs a look into a single line, hardly
ever a second. A key is in the bucket that its upper half names, or, where that was full, in the
first after it that was not. Places without a key hold one value that is no key.
"""

from dataclasses import dataclass

import numpy as np
import torch

from rayrank.embedding.compiled import compiled
from rayrank.embedding.hashing import mix

LANES = 8
FILLED = 0.75
"""How many of the places hold a key: more would send many on to another bucket."""


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


def find(ids: torch.Tensor, within: Buckets) -> torch.Tensor:
    """int64 [ids]: the place of each; the number of places for one that is not there, or a place
    where no key is. On any device, without waiting for it: every bucket within reach is looked
    at."""
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


@compiled()
def bucket_of(key: np.int64, buckets: int) -> np.int64:
    """Of a key, for compiled loops."""
    return np.int64(((np.uint64(key) >> np.uint64(32)) * np.uint64(buckets)) >> np.uint64(32))


@compiled()
def _place(ascending: np.ndarray, keys: np.ndarray, empty: int) -> tuple[np.ndarray, int]:
    buckets = len(keys) // LANES
    places = np.empty(len(ascending), np.int64)
    reach = 1
    for i in range(len(ascending)):
        bucket, steps = int(bucket_of(ascending[i], buckets)), 1
        while keys[LANES * bucket + LANES - 1] != empty:
            bucket, steps = (bucket + 1) % buckets, steps + 1
        place = LANES * bucket
        while keys[place] != empty:
            place += 1
        keys[place], places[i] = ascending[i], place
        reach = max(reach, steps)
    return places, reach
