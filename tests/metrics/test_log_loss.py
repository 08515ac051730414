"""Log-loss by its definition, and its paired difference over users."""

import math

import numpy as np
import pytest
from rayrank.metrics.log_loss import LEAST, log_loss, log_loss_difference


def test_it_is_the_mean_cross_entropy() -> None:
    label, score = np.array([1.0, 0.0, 1.0]), np.array([0.25, 0.5, 1.0])
    expected = -(math.log(0.25) + math.log(0.5) + 0.0) / 3
    assert log_loss(label, score) == pytest.approx(expected, abs=1e-6)
    assert log_loss(np.array([0.0]), np.array([1.0])) == pytest.approx(-math.log(LEAST), rel=1e-3)
    assert math.isnan(log_loss(np.empty(0), np.empty(0)))


def test_a_difference_and_its_error_are_those_of_draws_of_users() -> None:
    generator = np.random.default_rng(1)
    user = np.repeat(np.arange(400), generator.integers(1, 9, 400))
    label = (generator.random(len(user)) < 0.3).astype(float)
    one, other = (generator.uniform(0.05, 0.95, len(user)) for _ in range(2))
    found = log_loss_difference(user, label, one, other, samples=2000)
    assert found.value == pytest.approx(log_loss(label, one) - log_loss(label, other))
    # A ratio of sums over users: its variance by the delta method.
    apart = -np.where(label == 1, np.log(one / other), np.log((1 - one) / (1 - other)))
    sums, counts = np.bincount(user, apart), np.bincount(user)
    error = np.sqrt(np.sum((sums - found.value * counts) ** 2)) / counts.sum()
    assert found.standard_error == pytest.approx(error, rel=0.1)


def test_of_the_same_scores_nothing_is_left() -> None:
    label, score = np.array([1.0, 0.0]), np.array([0.25, 0.5])
    same = log_loss_difference(np.array([1, 2]), label, score, score)
    assert (same.value, same.standard_error) == (0.0, 0.0)
    nothing = np.empty(0)
    assert math.isnan(log_loss_difference(nothing, nothing, nothing, nothing).value)
