"""Orders that look random and are the same everywhere: SplitMix64 of what is ordered."""

import numpy as np

GAMMA = np.uint64(0x9E3779B97F4A7C15)


def mix(x: np.ndarray) -> np.ndarray:
    """uint64 [n] -> uint64 [n]: SplitMix64's finaliser, as in embedding.hashing, which is torch."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def mixed_order(keys: np.ndarray, *seeds: int) -> np.ndarray:
    """int64 [n]: the order of distinct int64 or uint64 keys [n] that the seeds decide."""
    mixed = keys.view(np.uint64)
    for seed in seeds:
        mixed = mix(mixed ^ mix(np.full(1, seed, np.uint64) + GAMMA))
    return np.argsort(mixed, kind="stable")
