"""MAE and rank correlation against their definitions, and drawn with their users."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rayrank.metrics import (
    NumberQuality,
    bootstrap_over_users,
    mean_absolute_error,
    measure,
    paired_differences,
    rank_correlation,
    slice_quality,
)

from ..effort import examples

SHOWN = st.tuples(
    st.integers(0, 4),
    st.integers(0, 5).map(float),
    st.integers(-2, 2).map(float),
    st.integers(0, 3),
)


def ranks(values: list[float]) -> list[float]:
    """Of each: how many are below, and half of those beside it."""
    return [sum((b < a) + (b == a) / 2 for b in values) for a in values]


def spearman(label: list[float], score: list[float]) -> float:
    x, y = ranks(label), ranks(score)
    n = len(x)
    mx, my = sum(x) / n, sum(y) / n
    over = sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True))
    under = math.sqrt(sum((a - mx) ** 2 for a in x) * sum((b - my) ** 2 for b in y))
    return over / under if under > 0 else math.nan


@settings(max_examples=examples(100), deadline=None)
@given(rows=st.lists(SHOWN, min_size=1, max_size=20), seed=st.integers(0, 99))
def test_a_draw_is_the_table_with_its_users_rows_repeated(
    rows: list[tuple[int, float, float, int]], seed: int
) -> None:
    user, label, mine, other = (np.array(column, float) for column in zip(*rows, strict=True))
    users = [np.flatnonzero(user == u) for u in np.unique(user)]
    draw = np.random.default_rng(seed)
    samples = [
        np.concatenate([users[pick] for pick in draw.integers(0, len(users), len(users))])
        for _ in range(8)
    ]

    def by_hand(of: np.ndarray, score: np.ndarray) -> tuple[float, float]:
        y, s = label[of].tolist(), score[of].tolist()
        error = sum(abs(a - b) for a, b in zip(y, s, strict=True)) / len(y)
        return error, spearman(y, s)

    everyone = np.arange(len(user))
    found = bootstrap_over_users(user, label, mine, "number", samples=8, seed=seed)
    apart = paired_differences(
        user, label, {"other": other, "mine": mine}, "other", "number", samples=8, seed=seed
    )["mine"]
    assert list(found) == list(NumberQuality.names) == ["mae", "rank_correlation"]
    for k, metric in enumerate(found):
        drawn = np.array([[by_hand(of, score)[k] for score in (mine, other)] for of in samples])
        whole = by_hand(everyone, mine)[k], by_hand(everyone, other)[k]
        known = drawn[~np.isnan(drawn[:, 0]), 0]
        error = known.std() if len(known) else math.nan
        assert found[metric] == pytest.approx((whole[0], error), abs=1e-12, nan_ok=True)
        differences = drawn[:, 0] - drawn[:, 1]
        known = differences[~np.isnan(differences)]
        error = known.std() if len(known) else math.nan
        assert apart[metric] == pytest.approx((whole[0] - whole[1], error), abs=1e-12, nan_ok=True)
    measured = measure("number", user, label, mine)
    assert measured == pytest.approx(
        {"mae": found["mae"].value, "rank_correlation": found["rank_correlation"].value},
        nan_ok=True,
    )


def test_known_answers() -> None:
    label, score = np.array([1.0, 2, 3, 10]), np.array([2.0, 2, 1, 30])
    assert mean_absolute_error(label, score) == (1 + 0 + 2 + 20) / 4
    # Ranks 1 2 3 4 and 2.5 2.5 1 4: only order counts, not by how much.
    assert rank_correlation(label, score) == pytest.approx(1.5 / math.sqrt(5 * 4.5))
    assert rank_correlation(label, np.exp(label)) == pytest.approx(1)
    assert rank_correlation(label, -label) == pytest.approx(-1)


def test_what_cannot_be_measured_is_no_number() -> None:
    none, alike = np.empty(0), np.ones(3)
    assert math.isnan(mean_absolute_error(none, none))
    assert math.isnan(rank_correlation(none, none))
    assert math.isnan(rank_correlation(alike, np.arange(3.0)))
    assert mean_absolute_error(alike, np.arange(3.0)) == pytest.approx(2 / 3)


@pytest.mark.parametrize("wrong", [mean_absolute_error, rank_correlation])
def test_nan_and_lengths_that_differ_are_refused(wrong: object) -> None:
    assert callable(wrong)
    with pytest.raises(ValueError, match="1 scores are NaN"):
        wrong(np.ones(2), np.array([1, math.nan]))
    with pytest.raises(ValueError, match="1 labels are NaN"):
        wrong(np.array([1, math.nan]), np.ones(2))
    with pytest.raises(ValueError, match="2 labels, 1 scores"):
        wrong(np.ones(2), np.ones(1))


def test_a_slice_measures_its_own_exposures() -> None:
    user, part = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1])
    label, score = np.array([1.0, 2, 5, 9]), np.array([1.0, 4, 9, 5])
    first, second = slice_quality(user, label, score, part, ["a", "b"], "number", samples=3)
    assert (first.quality["mae"].value, second.quality["mae"].value) == (1, 4)
    assert first.quality.compared.value == pytest.approx(1)
    assert second.quality.compared.value == pytest.approx(-1)
