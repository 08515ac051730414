"""How much a metric, or one ranker's lead over another, would move on another sample of users.

Both draw whole users with replacement, for exposures of one user are not independent. A user drawn
twice counts as two users.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

import numpy as np

from rayrank.metrics.numbers import absolute_errors, weighted_correlation, weighted_ranks
from rayrank.metrics.ranking import user_aucs

TaskKind = Literal["binary", "number"]
"""Of what a task's labels are."""

Z95 = 1.96
"""Standard errors on either side of an estimate that make its 95 % interval."""


class Estimate(NamedTuple):
    """A number measured on these users, and its standard error over other such users."""

    value: float
    standard_error: float

    @property
    def low(self) -> float:
        """Where the 95 % interval begins: 1.96 standard errors below."""
        return self.value - Z95 * self.standard_error

    @property
    def high(self) -> float:
        """Where the 95 % interval ends: 1.96 standard errors above."""
        return self.value + Z95 * self.standard_error


def bootstrap_over_users(
    user: np.ndarray,
    label: np.ndarray,
    score: np.ndarray,
    kind: TaskKind = "binary",
    *,
    samples: int = 200,
    seed: int = 0,
) -> dict[str, Estimate]:
    """The metrics of n exposures: `auc` and `gauc` of a binary task, `mae` and `rank_correlation`
    of a number. user [n] of any sortable type, label [n], score [n].

    NaN where there is one class, or one value, only; ValueError as `user_aucs`.
    """
    (measured,) = over_draws(user, label, [score], kind, samples, seed)
    return {metric: _estimate(values) for metric, values in measured.items()}


def paired_differences(
    user: np.ndarray,
    label: np.ndarray,
    scores: dict[str, np.ndarray],
    reference: str,
    kind: TaskKind = "binary",
    *,
    samples: int = 200,
    seed: int = 0,
) -> dict[str, dict[str, Estimate]]:
    """Ranker -> metric -> that ranker minus the reference, itself left out; metrics as of
    `bootstrap_over_users`.

    user [n], label [n], scores ranker -> [n], all of the same exposures in the same order.
    Every draw of users is the same for all rankers: what makes its users easy or hard for both of
    two rankers cancels, so the error of a difference is mostly far smaller than either's own.
    """
    measures = over_draws(user, label, scores.values(), kind, samples, seed)
    everyone = dict(zip(scores, measures, strict=True))
    base = everyone.pop(reference)
    return {
        name: {metric: _estimate(values - base[metric]) for metric, values in measured.items()}
        for name, measured in everyone.items()
    }


def over_draws(
    user: np.ndarray,
    label: np.ndarray,
    scores: Iterable[np.ndarray],
    kind: TaskKind,
    samples: int,
    seed: int,
) -> list[dict[str, np.ndarray]]:
    """For each score, each metric: float64 [1 + samples], of the users as they are, then of every
    draw. Draws of one seed over the same users are the same, whatever is measured on them."""
    keys, codes = np.unique(user, return_inverse=True)
    weigh = _WeightedUsers if kind == "binary" else _WeightedNumbers
    weighted = [weigh(codes, label, score) for score in scores]
    generator = np.random.default_rng(seed)
    measured = [[each(np.ones(len(keys)))] for each in weighted]
    for _ in range(samples):
        picks = generator.integers(0, max(len(keys), 1), len(keys))
        times = np.bincount(picks, minlength=len(keys)).astype(np.float64)
        for values, each in zip(measured, weighted, strict=True):
            values.append(each(times))
    return [dict(zip(weigh.metrics, np.array(each).T, strict=True)) for each in measured]


def _estimate(values: np.ndarray) -> Estimate:
    """The first value, and how the draws after it spread; a draw of one class measures nothing."""
    draws = values[1:][~np.isnan(values[1:])]
    return Estimate(float(values[0]), float(draws.std()) if len(draws) else float("nan"))


class _WeightedUsers:
    """AUC and GAUC where every user counts so many times; sorts once, whatever the weights.

    A positive stands above as many negatives as come before it among the sorted ones: a running
    sum of their weights answers for all positives at once. Ties count half.
    """

    metrics = ("auc", "gauc")

    def __init__(self, user: np.ndarray, label: np.ndarray, score: np.ndarray) -> None:
        self.ranked = user_aucs(user, label, score)
        positive = label == 1
        order = np.argsort(score[~positive], kind="stable")
        negatives = score[~positive][order]
        self.user_of_negative, self.user_of_positive = user[~positive][order], user[positive]
        self.below = np.searchsorted(negatives, score[positive], side="left")
        self.not_above = np.searchsorted(negatives, score[positive], side="right")

    def __call__(self, times: np.ndarray) -> tuple[float, float]:
        """times float64 [users]; NaN where the users that count lack a class."""
        negative = np.append(0.0, np.cumsum(times[self.user_of_negative]))
        positive = times[self.user_of_positive]
        in_order = positive @ (negative[self.below] + negative[self.not_above]) / 2
        # A user's own AUC does not depend on the weights: only how often it counts does.
        weight = times[self.ranked.user] * self.ranked.exposures
        return (
            _share(in_order, positive.sum() * negative[-1]),
            _share(weight @ self.ranked.auc, weight.sum()),
        )


class _WeightedNumbers:
    """MAE and rank correlation where every user counts so many times; sorts once."""

    metrics = ("mae", "rank_correlation")

    def __init__(self, user: np.ndarray, label: np.ndarray, score: np.ndarray) -> None:
        self.user, self.error = user, absolute_errors(label, score)
        self.labels, self.scores = (np.unique(v, return_inverse=True)[1] for v in (label, score))

    def __call__(self, times: np.ndarray) -> tuple[float, float]:
        """times float64 [users]; NaN where none count, or those that do are all alike."""
        weight = times[self.user]
        labels, scores = (weighted_ranks(codes, weight) for codes in (self.labels, self.scores))
        error = _share(weight @ self.error, weight.sum())
        return error, weighted_correlation(labels, scores, weight)


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")
