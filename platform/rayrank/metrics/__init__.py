"""How good a ranker is: AUC, GAUC, calibration, errors of numbers, on whom, and how sure one can
be of them."""

from rayrank.metrics.calibration import CalibrationBin, calibration
from rayrank.metrics.numbers import mean_absolute_error, rank_correlation
from rayrank.metrics.quality import QUALITY, BinaryQuality, NumberQuality, Quality, measure
from rayrank.metrics.ranking import auc, gauc, user_aucs
from rayrank.metrics.slices import Slice, slice_quality
from rayrank.metrics.uncertainty import (
    Estimate,
    TaskKind,
    bootstrap_over_users,
    paired_differences,
)

__all__ = [
    "QUALITY",
    "BinaryQuality",
    "CalibrationBin",
    "Estimate",
    "NumberQuality",
    "Quality",
    "Slice",
    "TaskKind",
    "auc",
    "bootstrap_over_users",
    "calibration",
    "gauc",
    "mean_absolute_error",
    "measure",
    "paired_differences",
    "rank_correlation",
    "slice_quality",
    "user_aucs",
]
