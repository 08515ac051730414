"""How much a metric would move on another sample of users."""

from typing import NamedTuple

import numpy as np

from rayrank.metrics.ranking import user_aucs


class Interval(NamedTuple):
    """A metric's bootstrap standard error and 95 % interval."""

    standard_error: float
    low: float
    high: float


def bootstrap_over_users(
    user: np.ndarray, label: np.ndarray, score: np.ndarray, *, samples: int = 200, seed: int = 0
) -> dict[str, Interval]:
    """Intervals of AUC and GAUC, drawing whole users with replacement.

    Users, not exposures: exposures of one user are not independent. A user drawn twice counts as
    two users.
    """
    keys, codes = np.unique(user, return_inverse=True)
    ranked = user_aucs(codes, label, score)
    weighted = _WeightedAUC(label, score)
    generator = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {"auc": [], "gauc": []}
    for _ in range(samples):
        picks = generator.integers(0, len(keys), len(keys))
        times = np.bincount(picks, minlength=len(keys))
        drawn["auc"].append(weighted(times[codes]))
        # A user's own AUC is the same in every draw: only how often it counts changes.
        weight = times[ranked.user] * ranked.exposures
        drawn["gauc"].append(
            float(weight @ ranked.auc / weight.sum()) if weight.any() else float("nan")
        )
    return {
        name: Interval(
            float(np.nanstd(values)), *(float(q) for q in np.nanquantile(values, [0.025, 0.975]))
        )
        for name, values in drawn.items()
    }


class _WeightedAUC:
    """AUC of weighted exposures; sorts once, whatever the weights."""

    def __init__(self, label: np.ndarray, score: np.ndarray) -> None:
        self.order = np.argsort(score, kind="stable")
        ordered = score[self.order]
        self.starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
        self.positive = label[self.order] == 1

    def __call__(self, weight: np.ndarray) -> float:
        """weight int [n], one per exposure; NaN where one class has none."""
        ordered = weight[self.order].astype(np.float64)
        # Per distinct score: the weight of positives, of negatives, of negatives below it.
        positive = np.add.reduceat(np.where(self.positive, ordered, 0), self.starts)
        negative = np.add.reduceat(np.where(self.positive, 0, ordered), self.starts)
        below = np.cumsum(negative) - negative
        pairs = positive.sum() * negative.sum()
        return float(positive @ (below + negative / 2) / pairs) if pairs else float("nan")
