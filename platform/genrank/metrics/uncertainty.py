"""How much a metric would move on another sample of users."""

from typing import NamedTuple

import numpy as np

from genrank.metrics.ranking import auc, gauc


class Interval(NamedTuple):
    """A metric's bootstrap standard error and 95 % interval."""

    standard_error: float
    low: float
    high: float


def bootstrap_over_users(user: np.ndarray, label: np.ndarray, score: np.ndarray, *,
                         samples: int = 200, seed: int = 0) -> dict[str, Interval]:
    """Intervals of AUC and GAUC, drawing whole users with replacement.

    Users, not exposures: exposures of one user are not independent. A user drawn twice counts as
    two users.
    """
    order = np.argsort(user, kind="stable")
    starts = np.unique(user[order], return_index=True)[1]
    rows_of_user = np.split(order, starts[1:])
    generator = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {"auc": [], "gauc": []}
    for _ in range(samples):
        picks = generator.integers(0, len(rows_of_user), len(rows_of_user))
        rows = np.concatenate([rows_of_user[pick] for pick in picks])
        copies = np.repeat(np.arange(len(picks)), [len(rows_of_user[pick]) for pick in picks])
        drawn["auc"].append(auc(label[rows], score[rows]))
        drawn["gauc"].append(gauc(copies, label[rows], score[rows]))
    return {
        name: Interval(float(np.nanstd(values)), *(
            float(q) for q in np.nanquantile(values, [0.025, 0.975])))
        for name, values in drawn.items()
    }
