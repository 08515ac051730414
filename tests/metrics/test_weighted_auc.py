"""AUC of weighted exposures, as the bootstrap over users computes it, against its definition."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rayrank.metrics import auc, bootstrap_over_users
from rayrank.metrics.uncertainty import _WeightedAUC

from .pairs import pairs_won

# Few distinct scores, so that most pairs are ties, in and across the classes.
ROWS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(-2, 2), st.integers(0, 4)), min_size=1, max_size=30
)


@settings(max_examples=200, deadline=None)
@given(rows=ROWS)
def test_it_counts_weighted_pairs(rows: list[tuple[int, int, int]]) -> None:
    label, score, weight = np.array(rows).T
    found = _WeightedAUC(label, score / 3)
    assert found(weight) == pytest.approx(
        pairs_won(label, score / 3, weight), abs=1e-12, nan_ok=True
    )
    # Sorted once, asked again: the weights of one draw leave nothing behind.
    assert found(np.ones_like(weight)) == pytest.approx(auc(label, score), abs=1e-12, nan_ok=True)


def test_a_weight_is_a_number_of_copies() -> None:
    label, score = np.array([1, 0, 1, 0, 1]), np.array([0.5, 0.5, 0.2, 0.1, 0.9])
    weight = np.array([2, 3, 1, 4, 0])
    copies = np.repeat(np.arange(5), weight)
    expected = pairs_won(label[copies], score[copies])
    # By hand: of 3 x 7 pairs, 2 x 3 tie, 2 x 4 and 1 x 4 win, 1 x 3 lose.
    assert expected == pytest.approx((0.5 * 6 + 12) / 21)
    assert _WeightedAUC(label, score)(weight) == pytest.approx(expected)


def test_one_class_is_nan() -> None:
    found = _WeightedAUC(np.array([1, 0]), np.array([0.1, 0.2]))
    assert math.isnan(found(np.array([3, 0])))
    assert math.isnan(found(np.array([0, 3])))


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
