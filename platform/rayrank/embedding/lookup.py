"""Vectors of arbitrary ids on a CPU, from half precision into float32, in one compiled loop.

Beyond the caches a lookup is two waits for memory, of the key's line and of the vector's. Memory
answers many requests at once, if they are made at once: so a block of ids asks for all its lines
before it looks at the first.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import torch

from rayrank.embedding.buckets import LANES, Buckets, bucket_of
from rayrank.embedding.compiled import compiled
from rayrank.embedding.hashing import mix_one

BLOCK = 256
"""Ids that ask together."""
WORTH_A_THREAD = 8192
"""Fewer ids are found sooner than another thread wakes up."""


def look_up(
    ids: torch.Tensor, buckets: Buckets, vectors: torch.Tensor, out: torch.Tensor
) -> torch.Tensor:
    """`out`, float32 [ids, dim], filled from `vectors`, finite float16 [places + 1, dim]: the last
    one for an id that is not there."""
    half, bits = vectors.numpy().view(np.uint16), out.numpy().view(np.uint32)
    told = ids.numpy(), buckets.keys.numpy(), buckets.empty, half, bits, out.numpy()
    parts = max(1, min(torch.get_num_threads(), len(ids) // WORTH_A_THREAD))
    cuts = [len(ids) * part // parts for part in range(parts + 1)]
    others = [
        _pool(parts, os.getpid()).submit(_look_up, *told, cuts[part], cuts[part + 1])
        for part in range(1, parts)
    ]
    _look_up(*told, cuts[0], cuts[1])
    for other in others:
        other.result()
    return out


@cache
def _pool(threads: int, _process: int) -> ThreadPoolExecutor:
    """Of a process's own: a fork has none of its parent's threads."""
    return ThreadPoolExecutor(threads, thread_name_prefix="tables")


@compiled()
def _look_up(
    ids: np.ndarray,
    keys: np.ndarray,
    empty: int,
    half: np.ndarray,
    bits: np.ndarray,
    out: np.ndarray,
    first: int,
    last: int,
) -> int:
    """For the ids [first, last); `bits` are those of `out`. What it returns says nothing, and keeps
    the compiler from leaving out the early looks."""
    buckets, dim = len(keys) // LANES, half.shape[1]
    keys_of, places = np.empty(BLOCK, np.int64), np.empty(BLOCK, np.int64)
    seen = 0
    for begin in range(first, last, BLOCK):
        count = min(BLOCK, last - begin)
        for i in range(count):
            keys_of[i] = np.int64(mix_one(ids[begin + i]))
        # Short loops of loads alone: the more of them are under way at once.
        for i in range(count):
            seen ^= keys[LANES * bucket_of(keys_of[i], buckets)]
        for i in range(count):
            key, place = keys_of[i], len(keys)
            bucket = int(bucket_of(key, buckets))
            for _ in range(buckets):
                own = LANES * bucket
                for lane in range(LANES):
                    place = own + lane if keys[own + lane] == key else place
                if place < len(keys) or keys[own + LANES - 1] == empty:
                    break
                bucket = (bucket + 1) % buckets
            places[i] = place
        for i in range(count):
            seen ^= half[places[i], 0]
        for i in range(count):
            place = places[i]
            for d in range(dim):
                # Half's exponent and fraction where float32 has its own, and the sign: as float32
                # that is 2^112 times too small, for numbers below the normal ones too.
                h = np.uint32(half[place, d])
                moved = (h & np.uint32(0x7FFF)) << np.uint32(13)
                bits[begin + i, d] = moved | (h & np.uint32(0x8000)) << np.uint32(16)
            for d in range(dim):
                out[begin + i, d] *= np.float32(2.0**112)
    return seen
