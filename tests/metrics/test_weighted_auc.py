"""AUC and GAUC of weighted users, as the bootstrap computes them, against their definitions."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rayrank.metrics import auc, bootstrap_over_users, gauc
from rayrank.metrics.uncertainty import _WeightedUsers

from ..effort import examples
from .pairs import pairs_won

USERS = 6
# Few distinct scores, so that most pairs are ties, in and across the classes.
ROWS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(-2, 2), st.integers(0, USERS - 1)),
    min_size=1,
    max_size=30,
)
TIMES = st.lists(st.integers(0, 4), min_size=USERS, max_size=USERS)


def close(auc: float, gauc: float) -> object:
    return pytest.approx((auc, gauc), abs=1e-12, nan_ok=True)


def weighted_gauc(
    user: np.ndarray, label: np.ndarray, score: np.ndarray, times: np.ndarray
) -> float:
    """The users' own AUCs, each as often as it has exposures in all its copies."""
    won = weight = 0.0
    for one in np.unique(user):
        own = pairs_won(label[user == one], score[user == one])
        if not math.isnan(own):
            copies = float(times[one] * (user == one).sum())
            won, weight = won + copies * own, weight + copies
    return won / weight if weight else math.nan


@settings(max_examples=examples(200), deadline=None)
@given(rows=ROWS, times=TIMES)
def test_it_counts_weighted_pairs(rows: list[tuple[int, int, int]], times: list[int]) -> None:
    label, score, user = np.array(rows).T
    weight = np.array(times)
    found = _WeightedUsers(user, label, score / 3)
    assert found(weight) == close(
        pairs_won(label, score / 3, weight[user]), weighted_gauc(user, label, score / 3, weight)
    )
    # Sorted once, asked again: the weights of one draw leave nothing behind.
    assert found(np.ones(USERS)) == close(auc(label, score), gauc(user, label, score))


def test_a_weight_is_a_number_of_copies() -> None:
    label, score = np.array([1, 0, 1, 0, 1]), np.array([0.5, 0.5, 0.2, 0.1, 0.9])
    weight = np.array([2, 3, 1, 4, 0])
    copies = np.repeat(np.arange(5), weight)
    expected = pairs_won(label[copies], score[copies])
    # By hand: of 3 x 7 pairs, 2 x 3 tie, 2 x 4 and 1 x 4 win, 1 x 3 lose.
    assert expected == pytest.approx((0.5 * 6 + 12) / 21)
    found, _ = _WeightedUsers(np.arange(5), label, score)(weight)  # a user for each exposure
    assert found == pytest.approx(expected)


def test_one_class_is_nan() -> None:
    found = _WeightedUsers(np.arange(2), np.array([1, 0]), np.array([0.1, 0.2]))
    assert found(np.array([3, 0])) == close(math.nan, math.nan)
    assert found(np.array([0, 3])) == close(math.nan, math.nan)
    assert found(np.array([1, 1])) == close(0.0, math.nan)  # both classes, and no user of both


def test_errors_are_those_of_every_draw_there_is() -> None:
    """Three users can be drawn in 27 ways, all as likely: counted out, copies and all."""
    user = np.array([0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 2])
    label = np.array([1, 1, 1, 0, 0, 0, 1, 0, 0, 1, 0])
    score = np.array([0.9, 0.9, 0.9, 0.8, 0.8, 0.8, 0.1, 0.95, 0.8, 0.8, 0.1])
    aucs, gaucs = [], []
    for draw in product(range(3), repeat=3):
        copies = np.concatenate([np.flatnonzero(user == drawn) for drawn in draw])
        own = [pairs_won(label[user == u], score[user == u]) for u in draw]
        aucs.append(pairs_won(label[copies], score[copies]))
        gaucs.append(np.average(own, weights=[(user == u).sum() for u in draw]))
    # Of user 0 and twice user 1: 3 x .9 and 2 x .1 meet 3 x .8 and 2 x .95.
    assert aucs[4] == pytest.approx(3 * 3 / 25)
    assert gaucs[4] == pytest.approx(6 / 10)
    found = bootstrap_over_users(user, label, score, samples=4000)
    assert found["auc"].standard_error == pytest.approx(np.std(aucs), rel=0.04)
    assert found["gauc"].standard_error == pytest.approx(np.std(gaucs), rel=0.04)
