"""What is measured of a ranker on a task, by the kind of the task."""

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np

from rayrank.metrics.numbers import mean_absolute_error, rank_correlation
from rayrank.metrics.ranking import auc, gauc
from rayrank.metrics.uncertainty import Estimate, TaskKind


class _Metrics:
    """Of a ranker on a task: fields are metrics, by their keys."""

    names: ClassVar[dict[str, str]]
    """Key -> what people call it, in the order that they are shown in."""
    compared_by: ClassVar[str]
    """The key of the metric that tells which ranker is better: more is."""
    chance: ClassVar[float]
    """What a guess has of that one."""

    def __getitem__(self, metric: str) -> Estimate:
        found: Estimate = vars(self)[metric]
        return found

    @property
    def compared(self) -> Estimate:
        """The metric that rankers are compared by."""
        return self[self.compared_by]


@dataclass(frozen=True)
class BinaryQuality(_Metrics):
    """On a binary task. NaN where no user has both classes."""

    names = {"auc": "AUC", "gauc": "GAUC"}
    compared_by = "gauc"
    chance = 0.5

    auc: Estimate
    gauc: Estimate
    """Mean of the users' AUCs by exposures; users of one class are left out."""


@dataclass(frozen=True)
class NumberQuality(_Metrics):
    """On a task that is a number, such as watch time. NaN where all labels or scores are alike."""

    names = {"mae": "MAE", "rank_correlation": "rank correlation"}
    compared_by = "rank_correlation"
    chance = 0.0

    mae: Estimate
    """Mean absolute error, in the label's unit."""
    rank_correlation: Estimate
    """Spearman's, over all exposures."""


Quality: TypeAlias = BinaryQuality | NumberQuality
QUALITY: dict[TaskKind, type[Quality]] = {"binary": BinaryQuality, "number": NumberQuality}


def measure(
    kind: TaskKind, user: np.ndarray, label: np.ndarray, score: np.ndarray
) -> dict[str, float]:
    """The metrics of a kind of task, by their keys. user [n] of any sortable type, label [n], score
    float [n]."""
    if kind == "binary":
        return {"auc": auc(label, score), "gauc": gauc(user, label, score)}
    return {
        "mae": mean_absolute_error(label, score),
        "rank_correlation": rank_correlation(label, score),
    }
