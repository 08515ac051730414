"""AUC and GAUC against counting pairs."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rayrank.metrics import auc, gauc, user_aucs

from ..effort import examples

ROWS = st.lists(
    st.tuples(
        st.integers(-2, 3),
        st.integers(0, 1),
        st.one_of(
            st.integers(-3, 3).map(float),
            st.floats(-1e9, 1e9),
            st.sampled_from([math.inf, -math.inf, -0.0]),
        ),
    ),
    max_size=40,
)


def pairs(rows: list[tuple[int, int, float]]) -> float:
    """P(positive above negative), counting every pair."""
    positives = [s for _, y, s in rows if y]
    negatives = [s for _, y, s in rows if not y]
    if not positives or not negatives:
        return math.nan
    won = sum((p > n) + 0.5 * (p == n) for p in positives for n in negatives)
    return won / (len(positives) * len(negatives))


def columns(rows: list[tuple[int, int, float]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return (
        np.array([u for u, _, _ in rows], np.int64),
        np.array([y for _, y, _ in rows]),
        np.array([s for _, _, s in rows], np.float64),
    )


@settings(max_examples=examples(200), deadline=None)
@given(rows=ROWS)
def test_auc_counts_pairs(rows: list[tuple[int, int, float]]) -> None:
    _, label, score = columns(rows)
    assert auc(label, score) == pytest.approx(pairs(rows), abs=1e-12, nan_ok=True)


@settings(max_examples=examples(200), deadline=None)
@given(rows=ROWS)
def test_gauc_weights_users_by_exposures(rows: list[tuple[int, int, float]]) -> None:
    by_user = {u: [row for row in rows if row[0] == u] for u, _, _ in rows}
    expected = {u: pairs(own) for u, own in by_user.items() if not math.isnan(pairs(own))}
    found = user_aucs(*columns(rows))
    assert found.user.tolist() == sorted(expected)
    assert found.auc.tolist() == pytest.approx([expected[u] for u in sorted(expected)], abs=1e-12)
    assert found.exposures.tolist() == [len(by_user[u]) for u in sorted(expected)]
    weight = sum(len(by_user[u]) for u in expected)
    mean = (sum(len(by_user[u]) * a for u, a in expected.items()) / weight) if weight else math.nan
    assert gauc(*columns(rows)) == pytest.approx(mean, abs=1e-12, nan_ok=True)


def test_by_hand() -> None:
    user = np.array(["a", "a", "b", "b", "b", "c", "c"])
    label = np.array([1, 0, 1, 0, 0, 1, 1])
    score = np.array([0.9, 0.1, 0.2, 0.8, 0.1, 0.0, 1.0])
    # a: 1 of 1, 2 exposures; b: 1 of 2, 3 exposures; c has one class.
    assert gauc(user, label, score) == pytest.approx((2 * 1 + 3 * 0.5) / 5)
    assert user_aucs(user, label, score).user.tolist() == ["a", "b"]


def test_one_class_or_nobody_is_nan() -> None:
    nobody = np.array([])
    assert math.isnan(gauc(nobody, nobody, nobody))
    assert math.isnan(auc(np.ones(3), np.arange(3.0)))
    assert math.isnan(gauc(np.arange(2), np.array([0, 1]), np.array([0.0, 1.0])))


@pytest.mark.parametrize(
    ("label", "score", "message"),
    [
        ([0, 1], [0.1, math.nan], "1 scores are NaN"),
        ([0, 2], [0.1, 0.2], "labels must be 0 or 1"),
        ([0.5, 1], [0.1, 0.2], "labels must be 0 or 1"),
        ([math.nan, 1], [0.1, 0.2], "labels must be 0 or 1"),
        ([0, 1, 1], [0.1, 0.2], "lengths differ"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    label: list[float], score: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        gauc(np.zeros(2), np.array(label), np.array(score))
