"""Whether a probability can be believed: log-loss, and how sure one can be of a difference."""

import numpy as np

from rayrank.metrics.uncertainty import Estimate

LEAST = 1e-7
"""A probability counts as this far from 0 and 1: one certainty that was wrong is not infinite."""


def log_loss(label: np.ndarray, score: np.ndarray) -> float:
    """Mean cross-entropy in nats. label [n] of 0 and 1, score [n] of probabilities; NaN of none."""
    return float(losses(label, score).mean()) if len(label) else float("nan")


def normalised_entropy(label: np.ndarray, score: np.ndarray) -> float:
    """Log-loss by that of the labels' own rate (He et al., ADKDD 2014): below 1 where scores know
    more than how often it happens. NaN of one class alone."""
    rate = np.full(len(label), np.mean(label)) if len(label) else np.empty(0)
    of_rate = log_loss(label, rate)
    return log_loss(label, score) / of_rate if 0 < np.mean(rate) < 1 else float("nan")


def losses(label: np.ndarray, score: np.ndarray) -> np.ndarray:
    """float64 [n]: the cross-entropy of each, in nats."""
    p = np.clip(np.asarray(score, np.float64), LEAST, 1 - LEAST)
    return -(label * np.log(p) + (1 - label) * np.log1p(-p))


def log_loss_difference(
    user: np.ndarray,
    label: np.ndarray,
    score: np.ndarray,
    reference: np.ndarray,
    *,
    samples: int = 200,
    seed: int = 0,
) -> Estimate:
    """Log-loss of `score` minus that of `reference`, of the same exposures [n], and how it spreads
    over draws of whole users. Less is better; NaN of none."""
    if len(label) == 0:
        return Estimate(float("nan"), float("nan"))
    keys, codes = np.unique(user, return_inverse=True)
    apart = losses(label, score) - losses(label, reference)
    of_user, count = np.bincount(codes, apart), np.bincount(codes)
    generator = np.random.default_rng(seed)
    draws = [generator.integers(0, len(keys), len(keys)) for _ in range(samples)]
    means = [of_user[drawn].sum() / count[drawn].sum() for drawn in draws]
    return Estimate(float(apart.mean()), float(np.std(means)))
