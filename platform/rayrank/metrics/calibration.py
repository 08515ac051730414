"""Whether 0.2 means one in five."""

import math
from typing import NamedTuple

import numpy as np


class CalibrationBin(NamedTuple):
    """Exposures of similar predicted probability."""

    predicted: float
    observed: float
    exposures: int

    @property
    def standard_error(self) -> float:
        """Of the observed rate: binomial, each exposure by itself."""
        return math.sqrt(self.observed * (1 - self.observed) / max(self.exposures, 1))


def calibration(label: np.ndarray, probability: np.ndarray, bins: int = 10) -> list[CalibrationBin]:
    """Mean prediction against observed rate in `bins` bins of (nearly) equal count, ascending."""
    order = np.argsort(probability, kind="stable")
    return [
        CalibrationBin(float(probability[part].mean()), float(label[part].mean()), len(part))
        for part in np.array_split(order, bins)
        if len(part)
    ]
