"""AUC by its definition: every pair of a positive and a negative, looked at."""

import math
from collections.abc import Sequence

import numpy as np


def pairs_won(
    label: Sequence[float] | np.ndarray,
    score: Sequence[float] | np.ndarray,
    weight: Sequence[float] | np.ndarray | None = None,
) -> float:
    """The share of (positive, negative) pairs in order, in float64: a tie is half a pair, and a
    pair counts as often as both its exposures weigh. NaN without pairs."""
    y, s = np.asarray(label), np.asarray(score, np.float64)
    w = np.ones(len(y)) if weight is None else np.asarray(weight, np.float64)
    won = total = 0.0
    for p in np.flatnonzero(y == 1):
        for n in np.flatnonzero(y == 0):
            pair = w[p] * w[n]
            won += pair * (1.0 if s[p] > s[n] else 0.5 if s[p] == s[n] else 0.0)
            total += pair
    return float(won / total) if total else math.nan
