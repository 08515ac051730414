"""Columns of outcomes as labels: what is 0, what is 1, and what nobody knows."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rayrank.data.labels import to_labels
from rayrank.errors import DataError
from rayrank.schema import Task

NUMBERS = st.none() | st.just(float("nan")) | st.integers(-3, 3).map(float)
TRUTH = {
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    "<": lambda a, b: a < b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}


def labels(values: pa.Array, label: str) -> list[float | None]:
    found = to_labels(values, Task(label=label), "here")
    assert found.dtype == np.float32
    return [None if np.isnan(value) else float(value) for value in found]


@given(values=st.lists(NUMBERS, max_size=9), sign=st.sampled_from(sorted(TRUTH)))
def test_a_comparison_holds_where_its_value_is_known(values: list[float | None], sign: str) -> None:
    expected = [
        None if value is None or value != value else float(TRUTH[sign](value, 1))  # noqa: PLR0124
        for value in values
    ]
    assert labels(pa.array(values, pa.float64()), f"x {sign} 1") == expected


def test_of_integers_and_booleans() -> None:
    assert labels(pa.array([3, 4, None, 5]), "x >= 4") == [0, 1, None, 1]
    assert labels(pa.array([True, False, None]), "x") == [1, 0, None]
    assert labels(pa.array([1.0, 0.0, float("nan")]), "x") == [1, 0, None]
    assert labels(pa.nulls(2), "x") == [None, None]


def test_a_number_is_its_own_label() -> None:
    task = Task(kind="number", label="x")
    for values, expected in (
        (pa.array([0, 3, None, 500]), [0, 3, None, 500]),
        (pa.array([0.5, float("nan"), 1e30], pa.float32()), [0.5, None, 1e30]),
    ):
        found = to_labels(values, task, "here")
        assert found.tolist() == pytest.approx(
            [float("nan") if value is None else value for value in expected], nan_ok=True
        )
    for wrong in (-1.0, -1e-9, float("inf"), float("-inf"), 1e39):
        with pytest.raises(DataError, match=r"here: row 1 holds .*, expected a number from 0"):
            to_labels(pa.array([1.0, wrong]), task, "here")
    with pytest.raises(DataError, match="here: expected numbers, found string"):
        to_labels(pa.array(["4"]), task, "here")


def test_what_is_no_label_is_named() -> None:
    with pytest.raises(DataError, match="here: row 1 holds 2, expected a label of 0 or 1"):
        labels(pa.array([None, 2]), "x")
    with pytest.raises(DataError, match="here: expected a label of 0 and 1, found string"):
        labels(pa.array(["1"]), "x")
    with pytest.raises(DataError, match="here: expected numbers, found string"):
        labels(pa.array(["4"]), "x >= 4")
