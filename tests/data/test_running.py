"""Running rates know only what was known strictly before."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from rayrank.data.running import running_counts, smoothed

from .logs import START

SMALL = st.integers(0, 6)
ROWS = st.lists(st.tuples(SMALL, SMALL, SMALL, SMALL), max_size=25)


@given(ROWS, st.sampled_from([0, START, -50]), st.sampled_from([1, 10**12]))
def test_equal_brute_force(rows: list[tuple[int, int, int, int]], origin: int, stride: int) -> None:
    key = np.array([row[0] for row in rows], np.int64) * stride
    time = np.array([row[1] for row in rows], np.int64) + origin
    known = time + np.array([row[2] for row in rows], np.int64)
    value = np.array([row[3] for row in rows], np.float64)
    sums, counts = running_counts(key, time, known, value)
    for row in range(len(rows)):
        before = (key == key[row]) & (known < time[row])
        assert sums[row] == value[before].sum()
        assert counts[row] == before.sum()


def test_millions_of_keys_do_not_overflow() -> None:
    """Six million keys a month apart: each key's span since 1970 would not fit 64 bits."""
    keys = np.concatenate([np.arange(6_000_000), [5_999_999]])
    time = np.full(len(keys), START, np.int64)
    time[-1] += 2_592_000_000
    sums, counts = running_counts(keys, time, time, np.ones(len(keys)))
    assert (sums[-1], counts[-1]) == (1.0, 1.0)
    assert not counts[:-1].any()


def test_smoothing_starts_at_one_half() -> None:
    assert smoothed(np.array([0.0, 10.0]), np.array([0.0, 10.0])).tolist() == [0.5, 12.5 / 15]
