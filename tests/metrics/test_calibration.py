"""Calibration bins."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rayrank.metrics import calibration

from ..effort import examples

ROWS = st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=1, max_size=60)


@settings(max_examples=examples(100), deadline=None)
@given(rows=ROWS, bins=st.integers(1, 12))
def test_bins_share_all_exposures_evenly_and_ascend(
    rows: list[tuple[int, float]], bins: int
) -> None:
    label, p = np.array([y for y, _ in rows]), np.array([q for _, q in rows])
    found = calibration(label, p, bins)
    counts = [b.exposures for b in found]
    assert sum(counts) == len(rows)
    assert len(found) == min(bins, len(rows))
    assert max(counts) - min(counts) <= 1
    predicted = [b.predicted for b in found]
    assert predicted == pytest.approx(sorted(predicted))
    assert sum(b.predicted * b.exposures for b in found) == pytest.approx(p.sum())
    assert sum(b.observed * b.exposures for b in found) == pytest.approx(label.sum())


def test_by_hand() -> None:
    found = calibration(np.array([1, 0, 1, 0]), np.array([0.9, 0.1, 0.7, 0.3]), bins=2)
    assert found[0] == pytest.approx((0.2, 0.0, 2))
    assert found[1] == pytest.approx((0.8, 1.0, 2))


def test_bins_that_cannot_be_equal_by_hand() -> None:
    """Seven exposures in three bins, in no order: three lowest, two next, two highest."""
    p = np.array([0.5, 0.05, 0.9, 0.1, 0.6, 0.15, 0.7])
    label = np.array([0, 1, 1, 0, 1, 1, 1])
    assert calibration(label, p, bins=3) == [
        pytest.approx((0.1, 2 / 3, 3)),
        pytest.approx((0.55, 1 / 2, 2)),
        pytest.approx((0.8, 1.0, 2)),
    ]


def test_there_are_ten_bins_unless_told() -> None:
    assert [b.exposures for b in calibration(np.zeros(25), np.zeros(25))] == [3] * 5 + [2] * 5


def test_an_honest_model_lies_on_the_diagonal() -> None:
    draw = np.random.default_rng(0)
    p = draw.uniform(size=50_000)
    label = (draw.uniform(size=50_000) < p).astype(int)
    for one in calibration(label, p):
        assert one.observed == pytest.approx(one.predicted, abs=0.03)


def test_nothing_has_no_bins() -> None:
    assert calibration(np.array([]), np.array([])) == []
