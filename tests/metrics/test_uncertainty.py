"""Bootstrap over users: one ranker's metrics, and its difference from another's."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rayrank.metrics import Estimate, auc, bootstrap_over_users, gauc, paired_differences

from ..effort import examples

Columns = tuple[np.ndarray, np.ndarray, np.ndarray]

# Few users and few distinct scores: users of one class, ties, and draws of one class abound.
SHOWN = st.tuples(
    st.integers(0, 4), st.integers(0, 1), st.integers(-2, 2).map(float), st.integers(-2, 2)
)


def world(users: int, seed: int) -> Columns:
    """Users of 6 exposures; a score that knows the label by one standard deviation."""
    draw = np.random.default_rng(seed)
    user = draw.permutation(np.repeat(np.arange(users), 6))
    label = draw.integers(0, 2, len(user))
    return user, label, label + draw.normal(size=len(user))


def pairs(label: np.ndarray, score: np.ndarray) -> float:
    """P(positive above negative), counting every pair."""
    above = [(p > n) + (p == n) / 2 for p in score[label == 1] for n in score[label == 0]]
    return float(np.mean(above)) if above else math.nan


def naive(users: list[np.ndarray], label: np.ndarray, score: np.ndarray) -> dict[str, float]:
    """AUC and GAUC of a table whose users are these lists of row numbers."""
    rows = np.concatenate(users)
    own = [(len(u), pairs(label[u], score[u])) for u in users]
    both = [(n, a) for n, a in own if not math.isnan(a)]
    weight = sum(n for n, _ in both)
    return {
        "auc": pairs(label[rows], score[rows]),
        "gauc": sum(n * a for n, a in both) / weight if weight else math.nan,
    }


@settings(max_examples=examples(100), deadline=None)
@given(rows=st.lists(SHOWN, min_size=1, max_size=24), seed=st.integers(0, 99))
def test_a_draw_is_the_table_with_its_users_rows_repeated(
    rows: list[tuple[int, int, float, int]], seed: int
) -> None:
    user, label, mine, other = (np.array(column) for column in zip(*rows, strict=True))
    users = [np.flatnonzero(user == u) for u in np.unique(user)]
    draw = np.random.default_rng(seed)
    samples = [
        [users[pick] for pick in draw.integers(0, len(users), len(users))] for _ in range(12)
    ]
    scores = {"mine": mine, "other": other}
    single = {
        name: bootstrap_over_users(user, label, score, samples=12, seed=seed)
        for name, score in scores.items()
    }
    paired = paired_differences(user, label, scores, "other", samples=12, seed=seed)
    assert set(paired) == {"mine"}
    for metric in ("auc", "gauc"):
        whole = {name: naive(users, label, score)[metric] for name, score in scores.items()}
        drawn = {
            name: np.array([naive(sample, label, score)[metric] for sample in samples])
            for name, score in scores.items()
        }
        for name in scores:
            close(single[name][metric], whole[name], drawn[name])
        close(
            paired["mine"][metric], whole["mine"] - whole["other"], drawn["mine"] - drawn["other"]
        )


def close(found: Estimate, value: float, draws: np.ndarray) -> None:
    measured = draws[~np.isnan(draws)]
    error = measured.std() if len(measured) else math.nan
    assert found == pytest.approx((value, error), abs=1e-12, nan_ok=True)


def test_the_interval_covers() -> None:
    truth = auc(*world(20_000, 999)[1:])
    covered = {"auc": 0, "gauc": 0}
    errors = []
    for seed in range(30):
        sample = world(60, seed)
        found = bootstrap_over_users(*sample, samples=60, seed=1)
        errors.append(found["auc"].standard_error)
        for name, estimate in found.items():
            covered[name] += estimate.low <= truth <= estimate.high
    # 95 % of 30 are 28.5; fewer than 24 would happen once in ten thousand times.
    assert covered["auc"] >= 24
    assert covered["gauc"] >= 24
    spread = np.std([auc(*world(60, seed)[1:]) for seed in range(30)])
    assert np.mean(errors) == pytest.approx(spread, rel=0.4)


def test_the_interval_is_95_percent_of_a_normal() -> None:
    estimate = Estimate(0.8, 0.01)
    assert (estimate.low, estimate.high) == pytest.approx((0.7804, 0.8196))


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
    assert found["auc"] == found["gauc"] == (1.0, 0.0)


def test_pairing_shows_what_single_errors_hide() -> None:
    """Of two rankers that are nearly one, the same slips make both uncertain and neither better."""
    user, label, score = world(300, 5)
    nudged = score + 0.1 * np.random.default_rng(6).normal(size=len(score))
    error = bootstrap_over_users(user, label, score)
    paired = paired_differences(user, label, {"mine": nudged, "other": score}, "other")["mine"]
    for metric in ("auc", "gauc"):
        unpaired = math.sqrt(2) * error[metric].standard_error
        assert 0 < paired[metric].standard_error < unpaired / 5


def test_a_difference_is_the_ranker_minus_the_reference() -> None:
    user, label, score = world(200, 7)
    worse = score + np.random.default_rng(8).normal(size=len(score))
    scores = {"good": score, "worse": worse, "same": score.copy()}
    found = paired_differences(user, label, scores, "good", samples=50)
    assert list(found) == ["worse", "same"]
    assert found["worse"]["auc"].value == pytest.approx(auc(label, worse) - auc(label, score))
    assert found["worse"]["gauc"].value == pytest.approx(
        gauc(user, label, worse) - gauc(user, label, score)
    )
    assert found["worse"]["auc"].high < 0
    assert found["same"]["auc"] == found["same"]["gauc"] == (0, 0)
    turned = paired_differences(user, label, scores, "worse", samples=50)["good"]
    for metric, difference in turned.items():
        assert difference.value == -found["worse"][metric].value
        assert difference.standard_error == pytest.approx(found["worse"][metric].standard_error)


def test_where_nobody_has_both_classes_nothing_is_known() -> None:
    nobody = np.zeros(0)
    for sample in ((nobody, nobody, nobody), (np.arange(3), np.ones(3), np.arange(3.0))):
        for estimate in bootstrap_over_users(*sample, samples=5).values():
            assert np.isnan(estimate).all()


def test_what_cannot_be_measured_is_refused() -> None:
    user, label = np.arange(2), np.array([0, 1])
    with pytest.raises(ValueError, match="1 scores are NaN"):
        paired_differences(user, label, {"a": np.zeros(2), "b": np.array([0, math.nan])}, "a")
    with pytest.raises(ValueError, match="labels must be 0 or 1"):
        bootstrap_over_users(user, np.array([0, math.nan]), np.zeros(2))


def test_unless_said_users_are_drawn_200_times_from_seed_0() -> None:
    user, label, score = world(9, seed=1)
    said = bootstrap_over_users(user, label, score, samples=200, seed=0)
    assert bootstrap_over_users(user, label, score) == said
    scores = {"mine": score, "other": -score}
    paired = paired_differences(user, label, scores, "mine", samples=200, seed=0)
    assert paired_differences(user, label, scores, "mine") == paired


def test_of_no_exposures_nothing_is_known() -> None:
    none = np.empty(0)
    for estimate in bootstrap_over_users(none.astype(np.int64), none, none).values():
        assert math.isnan(estimate.value)
        assert math.isnan(estimate.standard_error)
