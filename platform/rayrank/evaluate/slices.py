"""On whom a ranker is good: test exposures by how much was known of their user."""

import numpy as np

from rayrank.metrics import Slice, TaskKind, slice_quality

LONGER_THAN = (0, 9, 49, 199)
"""A slice ends at each; the last one has no end."""
NAMES = ("new users (0)", "1–9", "10–49", "50–199", "200+")


def by_history(
    user: np.ndarray,
    label: np.ndarray,
    score: np.ndarray,
    history: np.ndarray,
    kind: TaskKind = "binary",
    *,
    samples: int = 200,
) -> list[Slice]:
    """The ranker on users of no history, of a short one, …; those without an exposure left out.

    user [n], label [n], score [n]; history int [n]: how many static behaviours the user row
    of each exposure holds. A user with rows in several windows may count in several slices.
    """
    part = np.searchsorted(LONGER_THAN, history)
    return slice_quality(user, label, score, part, NAMES, kind, samples=samples)
