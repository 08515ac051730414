"""A mean over seeds, and how far it can be trusted."""

import numpy as np
import pytest
from rayrank.metrics.over_seeds import over_seeds


def test_the_value_is_the_mean_of_the_seeds_on_the_users_as_they_are() -> None:
    draws_SN = np.array([[0.6, 0.0, 1.0], [0.8, 0.0, 1.0]])
    assert over_seeds(draws_SN).value == pytest.approx(0.7)


def test_seeds_that_agree_leave_the_error_over_users() -> None:
    draws_SN = np.array([[0.7, 0.6, 0.8, 0.6, 0.8]] * 3)
    assert over_seeds(draws_SN).standard_error == pytest.approx(0.1)


def test_users_that_agree_leave_the_error_over_seeds_as_wide_as_students() -> None:
    """Of three seeds: 95 % lie within 4.303 errors of the mean, not within 1.96."""
    draws_SN = np.repeat(np.array([[0.5], [0.6], [0.7]]), 5, axis=1)
    found = over_seeds(draws_SN)
    assert found.high - found.value == pytest.approx(4.30265 * 0.1 / np.sqrt(3), rel=1e-4)


def test_what_draws_nothing_has_the_error_over_users() -> None:
    assert over_seeds(np.array([[0.7, 0.6, 0.8]])).standard_error == pytest.approx(0.1)


def test_a_draw_of_one_class_measures_nothing() -> None:
    found = over_seeds(np.array([[0.7, 0.6, np.nan, 0.8]]))
    assert found == pytest.approx((0.7, 0.1))


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Users shift all seeds alike; seeds shift by themselves."""
    draw = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        users = draw.normal(0, 0.01)
        points_S = 0.7 + users + draw.normal(0, 0.02, 3)
        draws_SN = points_S[:, None] + np.concatenate([[0.0], draw.normal(0, 0.01, 60)])
        found = over_seeds(draws_SN)
        held += found.low <= 0.7 <= found.high
    # 380 of 400; fewer than 362 would happen once in ten thousand times.
    assert held >= 362
