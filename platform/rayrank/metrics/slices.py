"""How good a ranker is on parts of the exposures: a mean over all hides whom it fails."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rayrank.metrics.quality import QUALITY, Quality
from rayrank.metrics.uncertainty import TaskKind, bootstrap_over_users


class Slice(NamedTuple):
    """One part of the exposures. NaN where it holds one class only."""

    name: str
    users: int
    exposures: int
    quality: Quality


def slice_quality(
    user: np.ndarray,
    label: np.ndarray,
    score: np.ndarray,
    part: np.ndarray,
    names: Sequence[str],
    kind: TaskKind = "binary",
    *,
    samples: int = 200,
) -> list[Slice]:
    """The parts in the order of their names, those without an exposure left out.

    user [n], label [n], score [n]; part int [n]: the index into names of each exposure's
    part. A user whose exposures fall into several parts counts in each.
    """
    slices = []
    for number, name in enumerate(names):
        inside = part == number
        if inside.any():
            measured = bootstrap_over_users(
                user[inside], label[inside], score[inside], kind, samples=samples
            )
            users = len(np.unique(user[inside]))
            slices.append(Slice(name, users, int(inside.sum()), QUALITY[kind](**measured)))
    return slices
