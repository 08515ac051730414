"""AUC over all exposures, and GAUC: the mean of per-user AUCs.

GAUC weights each user's AUC by that user's exposures and leaves out users whose labels are all
one class, for whom no order is right or wrong (as in the DIN and MTGR papers).
"""

from typing import NamedTuple

import numpy as np
import pandas as pd


def auc(label: np.ndarray, score: np.ndarray) -> float:
    """The probability that a positive scores above a negative, ties counting half.

    label [n] of 0 and 1, score float [n]. NaN where there is one class only.
    """
    return gauc(np.zeros(len(label), np.int64), label, score)


def gauc(user: np.ndarray, label: np.ndarray, score: np.ndarray) -> float:
    """Exposure-weighted mean of per-user AUCs; NaN where every user has one class only."""
    users = user_aucs(user, label, score)
    if len(users.auc) == 0:
        return float("nan")
    return float(np.average(users.auc, weights=users.exposures))


class UserAUCs(NamedTuple):
    """Of the users with both classes, parallel arrays: who, their AUC, their exposures."""

    user: np.ndarray
    auc: np.ndarray
    exposures: np.ndarray


def user_aucs(user: np.ndarray, label: np.ndarray, score: np.ndarray) -> UserAUCs:
    """AUC of each user who has both classes. user [n] of any sortable type.

    ValueError for lengths that differ, labels other than 0 and 1, and scores that are NaN.
    """
    if not len(user) == len(label) == len(score):
        raise ValueError(
            f"lengths differ: {len(user)} users, {len(label)} labels, {len(score)} scores"
        )
    if not np.isin(label, (0, 1)).all():
        raise ValueError("labels must be 0 or 1")
    if np.isnan(score).any():
        raise ValueError(f"{int(np.isnan(score).sum())} scores are NaN")
    keys, codes = np.unique(user, return_inverse=True)
    exposures = np.bincount(codes, minlength=len(keys))
    positives = np.bincount(codes, weights=label, minlength=len(keys))
    negatives = exposures - positives
    # The Mann-Whitney statistic, for all users at once: ranks within a user, ties at their mean.
    ranks = pd.Series(score).groupby(codes).rank().to_numpy()
    ranks_of_positives = np.bincount(codes, weights=ranks * label, minlength=len(keys))
    both = (positives > 0) & (negatives > 0)
    p, n = positives[both], negatives[both]
    aucs = (ranks_of_positives[both] - p * (p + 1) / 2) / (p * n)
    return UserAUCs(keys[both], aucs, exposures[both])
