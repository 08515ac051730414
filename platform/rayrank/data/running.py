"""Running rates that never look ahead: what was known of a key strictly before each moment."""

import numpy as np

PRIOR_COUNT = 5.0


def running_counts(
    key: np.ndarray, time: np.ndarray, known_at: np.ndarray, value: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For each row: sum of `value`, and count, over rows of its key with known_at < its time.

    key, time, known_at int64 [n]; value float [n]. Returns two float64 [n].
    """
    if len(key) == 0:
        return np.empty(0), np.empty(0)
    codes = np.unique(key, return_inverse=True)[1].astype(np.int64)
    # The span of the log, not since 1970: with millions of keys only that fits 64 bits.
    low = min(time.min(), known_at.min())
    span = int(max(time.max(), known_at.max()) - low + 1)
    order = np.lexsort((known_at, codes))
    known = codes[order] * span + (known_at[order] - low)
    sums = np.concatenate([[0.0], np.cumsum(value[order].astype(np.float64))])
    first = np.searchsorted(known, codes * span)
    last = np.maximum(first, np.searchsorted(known, codes * span + (time - low)))
    return sums[last] - sums[first], (last - first).astype(np.float64)


def smoothed(sums: np.ndarray, count: np.ndarray, start: float = 0.5) -> np.ndarray:
    """(sum + 5 start) / (n + 5): a rate or mean that begins at `start`, as if seen five times."""
    return (sums + PRIOR_COUNT * start) / (count + PRIOR_COUNT)
