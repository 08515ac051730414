"""How good a ranker is: AUC, GAUC, calibration, on whom, and how sure one can be of them."""

from rayrank.metrics.calibration import CalibrationBin, calibration
from rayrank.metrics.ranking import auc, gauc, user_aucs
from rayrank.metrics.slices import Slice, slice_quality
from rayrank.metrics.uncertainty import Estimate, bootstrap_over_users, paired_differences

__all__ = [
    "CalibrationBin",
    "Estimate",
    "Slice",
    "auc",
    "bootstrap_over_users",
    "calibration",
    "gauc",
    "paired_differences",
    "slice_quality",
    "user_aucs",
]
