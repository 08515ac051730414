"""Bootstrap over users."""

import numpy as np
import pytest
from rayrank.metrics import auc, bootstrap_over_users, gauc

Columns = tuple[np.ndarray, np.ndarray, np.ndarray]


def world(users: int, seed: int) -> Columns:
    """Users of 6 exposures; a score that knows the label by one standard deviation."""
    draw = np.random.default_rng(seed)
    user = draw.permutation(np.repeat(np.arange(users), 6))
    label = draw.integers(0, 2, len(user))
    return user, label, label + draw.normal(size=len(user))


def test_the_interval_covers() -> None:
    truth = auc(*world(20_000, 999)[1:])
    covered = {"auc": 0, "gauc": 0}
    errors = []
    for seed in range(30):
        sample = world(60, seed)
        found = bootstrap_over_users(*sample, samples=60, seed=1)
        errors.append(found["auc"].standard_error)
        for name, interval in found.items():
            covered[name] += interval.low <= truth <= interval.high
            assert interval.low <= interval.high
    # 95 % of 30 are 28.5; fewer than 24 would happen once in ten thousand times.
    assert covered["auc"] >= 24
    assert covered["gauc"] >= 24
    spread = np.std([auc(*world(60, seed)[1:]) for seed in range(30)])
    assert np.mean(errors) == pytest.approx(spread, rel=0.4)


def test_it_is_deterministic_and_its_seed_matters() -> None:
    sample = world(40, 0)
    first = bootstrap_over_users(*sample, samples=30, seed=4)
    assert bootstrap_over_users(*sample, samples=30, seed=4) == first
    assert bootstrap_over_users(*sample, samples=30, seed=5) != first


def test_users_are_drawn_whole() -> None:
    """Of users who are all alike, every draw is the same."""
    user = np.repeat(np.arange(50), 4)
    label, score = np.tile([0, 1, 0, 1], 50), np.tile([0.0, 1.0, 0.0, 1.0], 50)
    found = bootstrap_over_users(user, label, score, samples=20)
    assert found["auc"] == found["gauc"] == (0.0, 1.0, 1.0)


def test_a_user_drawn_twice_counts_as_two() -> None:
    """With users of equal size, GAUC of a draw is the plain mean of the drawn users' AUCs."""
    sample = world(25, 3)
    user, label, score = sample
    aucs = {u: gauc(user[user == u], label[user == u], score[user == u]) for u in np.unique(user)}
    draw = np.random.default_rng(0)
    expected = []
    for _ in range(10):
        picks = draw.integers(0, 25, 25)
        expected.append(np.nanmean([aucs[pick] for pick in picks]))
    found = bootstrap_over_users(*sample, samples=10, seed=0)["gauc"]
    assert found.standard_error == pytest.approx(np.std(expected))
    assert found.low == pytest.approx(np.quantile(expected, 0.025))
