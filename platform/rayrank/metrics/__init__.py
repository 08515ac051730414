"""How good a ranker is: AUC, GAUC, calibration, and how sure one can be of them."""

from rayrank.metrics.calibration import CalibrationBin, calibration
from rayrank.metrics.ranking import auc, gauc, user_aucs
from rayrank.metrics.uncertainty import bootstrap_over_users

__all__ = ["CalibrationBin", "auc", "bootstrap_over_users", "calibration", "gauc", "user_aucs"]
