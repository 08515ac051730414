"""A metric, or a difference, of rankers that were trained from several seeds."""

import numpy as np
from scipy.stats import t

from rayrank.metrics.uncertainty import Z95, Estimate


def over_seeds(draws_SN: np.ndarray) -> Estimate:
    """The mean over seeds, and how it would move on other users and from other seeds.

    draws_SN float64 [seeds, 1 + draws]: of each seed's ranker (or of the difference of two of one
    seed) what `over_draws` gives, on the same draws. The variance is that over draws of users of
    the mean over seeds, and that between seeds by their number; the latter is known from few seeds
    alone, and counts for as much more as Student's interval is wider than the normal one. Of one
    row alone, of what draws nothing, the error is that over users.
    """
    seeds = len(draws_SN)
    means_N = draws_SN.mean(axis=0)
    variance = float(np.nanvar(means_N[1:]))
    if seeds > 1:
        wider = float(t.ppf(0.975, seeds - 1)) / Z95
        variance += wider**2 * float(np.var(draws_SN[:, 0], ddof=1)) / seeds
    return Estimate(float(means_N[0]), variance**0.5)
