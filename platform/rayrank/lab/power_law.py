"""gain = a x FLOPs^b, as the papers draw it."""

from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares

STEEPEST = 3.0
"""Exponents are looked for from its negative to it."""


class PowerLaw(NamedTuple):
    """gain(F) = at_reference (F / reference)^exponent."""

    reference: float
    """FLOPs: the geometric mean of what it was fitted to."""
    at_reference: float
    exponent: float

    @property
    def a(self) -> float:
        """Of gain = a F^b; tiny, where FLOPs are counted one by one."""
        return float(self.at_reference * self.reference**-self.exponent)

    def __call__(self, flops: np.ndarray) -> np.ndarray:
        return self.at_reference * (flops / self.reference) ** self.exponent


def fit(flops: np.ndarray, gains: np.ndarray) -> PowerLaw:
    """Least squares on the gains themselves, [n] each, n at least 2: on logarithms a gain that is
    not above 0 had no place, and the smallest would weigh most. Exponents within `STEEPEST`."""
    reference = float(np.exp(np.log(flops).mean()))
    x = np.log(flops / reference)
    start = (float(np.mean(gains)), 0.0)

    def residuals(p: np.ndarray) -> np.ndarray:
        return p[0] * np.exp(p[1] * x) - gains

    # Gains are of the order of 0.01: the default tolerances would take such residuals for none.
    found = least_squares(
        residuals,
        start,
        bounds=([-np.inf, -STEEPEST], [np.inf, STEEPEST]),
        xtol=1e-12,
        ftol=1e-12,
        gtol=1e-14,
    )
    return PowerLaw(reference, *map(float, found.x))


class Band(NamedTuple):
    """A fit, and where it would lie on other users and from other seeds."""

    law: PowerLaw
    exponent_low: float
    exponent_high: float
    flops: np.ndarray
    """[points], spaced by a factor."""
    low: np.ndarray
    high: np.ndarray
    """[points]: 95 % of the fits of draws."""


def fit_with_band(
    flops: np.ndarray, gains_MSN: np.ndarray, points: int = 40, seed: int = 0
) -> Band:
    """gains_MSN float64 [sizes, seeds, 1 + draws]: of each size and seed what it has above the
    model it is compared to, on the users as they are and on every draw of them. Each draw of users
    draws seeds with it."""
    sizes, seeds, draws = gains_MSN.shape
    generator = np.random.default_rng(seed)
    laws = []
    for draw in range(1, draws):
        # Of each size by itself: its seeds are no one else's.
        picked = generator.integers(0, seeds, (sizes, seeds))
        drawn = np.take_along_axis(gains_MSN[:, :, draw], picked, axis=1)
        laws.append(fit(flops, drawn.mean(axis=1)))
    law = fit(flops, gains_MSN[:, :, 0].mean(axis=1))
    shown = np.geomspace(flops.min(), flops.max(), points)
    curves = np.array([each(shown) for each in laws])
    low, high = np.quantile(curves, (0.025, 0.975), axis=0)
    exponents = np.quantile([each.exponent for each in laws], (0.025, 0.975))
    return Band(law, float(exponents[0]), float(exponents[1]), shown, low, high)
