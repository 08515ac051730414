"""Drift: nothing where nothing changed, and what the definition gives where something did."""

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from rayrank.infer.drift import (
    FLOOR,
    Distribution,
    Drift,
    Reference,
    reference_of,
    stability_index,
)
from rayrank.schema import Schema

SCHEMA = Schema.model_validate(
    {
        "name": "shop",
        "user": "user",
        "item": "item",
        "time": "time",
        "sequences": {"views": {"from": "exposures"}},
        "tables": {"small": {"dim": 4}},
        "features": {
            "income": {"tokens": ["profile"], "kind": "number", "source": "users"},
            "watched": {"tokens": ["views"], "kind": "number"},
            "price": {"tokens": ["candidate"], "kind": "number"},
            "size": {
                "tokens": ["candidate"],
                "kind": "bucket",
                "table": "small",
                "boundaries": [1, 2],
            },
            "item_id": {"tokens": ["candidate"], "kind": "id", "column": "item", "table": "small"},
        },
        "outcomes": ["watched"],
        "tasks": {"click": {"label": "click"}, "watch": {"label": "watch", "kind": "number"}},
    }
)
EACH = 10
"""Candidates of a row."""


NUMBERS = pa.list_(pa.float32())
ROWS = pa.schema(
    {
        "profile": pa.struct({"income": pa.float32()}),
        "static_views": pa.struct({"watched": NUMBERS}),
        "realtime_views": pa.struct({"watched": NUMBERS}),
        "candidates": pa.struct({"price": NUMBERS, "size": pa.list_(pa.int64())}),
    }
)


def rows_of(
    price_BC: np.ndarray, income_B: Any = None, before: int = 0, inside: int = 0, watched: float = 0
) -> pa.Table:
    """What drift reads of user rows. before, inside: how many views each part has."""
    income = np.zeros(len(price_BC)) if income_B is None else income_B
    static, realtime = ({"watched": [watched] * count} for count in (before, inside))
    rows = [
        {
            "profile": {"income": of_user},
            "static_views": static,
            "realtime_views": realtime,
            "candidates": {"price": price_C, "size": [int(price > 0) for price in price_C]},
        }
        for of_user, price_C in zip(income, price_BC.tolist(), strict=True)
    ]
    return pa.Table.from_pylist(rows, ROWS)


def scores_of(p_BC: np.ndarray) -> list[np.ndarray]:
    """Scores of two tasks, the second ten times the first."""
    return [np.stack([p_C, 10 * p_C], axis=1).astype(np.float32) for p_C in p_BC]


def drawn(seed: int, users: int, shift: float = 0.0) -> tuple[pa.Table, list[np.ndarray]]:
    draw = np.random.default_rng(seed)
    price_BC = draw.normal(shift, 1, (users, EACH))
    scores = scores_of(1 / (1 + np.exp(-price_BC)))
    return rows_of(price_BC, draw.normal(size=users), 1, 1, float(draw.normal())), scores


NORMAL = reference_of(SCHEMA, "test", *drawn(0, 2000))


def test_a_record_has_a_tenth_in_each_bin_of_what_rows_hold() -> None:
    assert (NORMAL.split, NORMAL.rows, NORMAL.scored_rows) == ("test", 2000, 2000)
    assert set(NORMAL.scores) == {"click", "watch"}
    assert set(NORMAL.numbers) == {
        "profile.income",
        "views.watched",
        "candidate.price",
        "candidate.size",
    }
    of = NORMAL.numbers["candidate.price"]
    assert len(of.edges) == 9
    np.testing.assert_allclose(of.shares, 0.1, atol=1e-4)
    # The deciles of a normal distribution.
    expected = [-1.2816, -0.8416, -0.5244, -0.2533, 0, 0.2533, 0.5244, 0.8416, 1.2816]
    np.testing.assert_allclose(of.edges, expected, atol=0.04)
    by_size = NORMAL.numbers["candidate.size"]
    assert by_size.edges == pytest.approx([0, 0, 1, 1])
    np.testing.assert_allclose(by_size.shares, [0, 0.5, 0, 0.5, 0], atol=0.01)


def test_what_stayed_as_it_was_has_hardly_any() -> None:
    drift = Drift(SCHEMA, NORMAL)
    for seed in range(1, 101):
        drift.saw(*drawn(seed, 20))
    now = drift.now()
    watched = now.pop("views.watched")  # one value a draw
    assert set(now) == {
        "score.click",
        "score.watch",
        "profile.income",
        "candidate.price",
        "candidate.size",
    }
    assert all(0 <= of < 0.02 for of in now.values()), now
    assert watched > 1


def reference(**numbers: Distribution) -> Reference:
    """Of candidates' numbers."""
    named = {f"candidate.{name}": of for name, of in numbers.items()}
    return Reference(split="test", rows=1, scored_rows=0, scores={}, numbers=named)


QUARTERS = Distribution(edges=[1.0, 2.0, 3.0], shares=[0.25] * 4)


def prices(*values: float, users: int = 600) -> tuple[pa.Table, list[np.ndarray]]:
    """Users who each see these."""
    return rows_of(np.tile(values, (users, 1))), []


def test_a_shift_is_what_the_definition_says() -> None:
    """Of ten values: 4, 3, 2 and 1, where a quarter each is expected. An edge is in the bin below
    it; what lies beyond all that was recorded, however far, in the last ones."""
    drift = Drift(SCHEMA, reference(price=QUARTERS))
    drift.saw(*prices(-1e30, 0, 0.5, 1.0, 1.5, 1.5, 2.0, 2.5, 3.0, 1e30))
    expected = (
        (0.4 - 0.25) * math.log(0.4 / 0.25)
        + (0.3 - 0.25) * math.log(0.3 / 0.25)
        + (0.2 - 0.25) * math.log(0.2 / 0.25)
        + (0.1 - 0.25) * math.log(0.1 / 0.25)
    )
    assert drift.now() == {"candidate.price": pytest.approx(expected, rel=1e-12)}


def test_scores_are_told_by_task() -> None:
    task = Distribution(edges=[0.5], shares=[0.5, 0.5])
    record = reference().model_copy(update={"scores": {"watch": task}})
    drift = Drift(SCHEMA, record)
    drift.saw(rows_of(np.zeros((600, 4))), scores_of(np.tile([0.01, 0.02, 0.03, 0.9], (600, 1))))
    expected = 0.25 * math.log(0.75 / 0.5) + (0.25 - 0.5) * math.log(0.25 / 0.5)
    assert drift.now() == {"score.watch": pytest.approx(expected)}


def test_an_empty_bin_counts_as_little() -> None:
    drift = Drift(SCHEMA, reference(price=QUARTERS))
    drift.saw(*prices(5.0))
    expected = 0.75 * math.log(1 / 0.25) + 3 * (FLOOR - 0.25) * math.log(FLOOR / 0.25)
    assert drift.now()["candidate.price"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("other", [-7.0, -0.5, 0.5, 7.0])
def test_a_constant_that_changes_is_seen_in_either_direction(other: float) -> None:
    constant = Distribution.of(np.zeros(50))
    assert constant.shares == [0.0, 1.0, 0.0]
    drift = Drift(SCHEMA, reference(price=constant))
    drift.saw(*prices(0.0))
    assert drift.now() == {"candidate.price": 0.0}
    drift = Drift(SCHEMA, reference(price=constant))
    drift.saw(*prices(other))
    assert drift.now()["candidate.price"] > 9


def test_a_value_that_many_have_has_a_bin_of_its_own() -> None:
    of = Distribution.of(np.array([0, 1, 2, 3, 3, 3, 3, 3, 3, 4.0]))
    assert sum(of.shares) == pytest.approx(1)
    place = int(np.searchsorted(of.edges, 3.0))
    assert of.shares[place] == 0.6
    assert of.edges[place] == 3.0
    assert of.edges[place - 1] == np.nextafter(3.0, 0)


@settings(deadline=None)
@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1, max_size=50)
)
def test_whatever_was_recorded_is_no_drift(values: list[float]) -> None:
    of = Distribution.of(np.array(values, np.float32))
    assert len(of.edges) <= 9
    drift = Drift(SCHEMA, reference(price=of))
    drift.saw(*prices(*values, users=500))
    assert drift.now()["candidate.price"] == pytest.approx(0, abs=1e-12)


def test_what_is_old_is_forgotten() -> None:
    """After ten windows of another kind hardly anything of the first is left; after one, 1/e."""
    first = (0.5, 1.5, 2.5, 3.5)
    drift = Drift(SCHEMA, reference(price=QUARTERS), window=1000)
    for _ in range(100):
        drift.saw(*prices(*first, users=100))
    assert drift.now()["candidate.price"] == pytest.approx(0)
    for _ in range(10):
        drift.saw(*prices(0.5, 0.5, 0.5, 0.5, users=100))
    kept = (1 - 1 / 1000) ** 1000
    rest = np.full(3, kept / 4)
    expected = stability_index(np.array([1 - rest.sum(), *rest]), np.full(4, 0.25))
    assert drift.now()["candidate.price"] == pytest.approx(expected, rel=0.01)
    for _ in range(100):
        drift.saw(*prices(*first, users=100))
    assert drift.now()["candidate.price"] < 1e-6


def test_of_too_little_nothing_is_said() -> None:
    drift = Drift(SCHEMA, reference(price=QUARTERS))
    assert drift.now() == {}
    drift.saw(*prices(*[0.5] * 40, users=499))  # many values, of too few users
    assert drift.now() == {}
    drift.saw(*prices(0.5, users=1))
    assert drift.now().keys() == {"candidate.price"}

    rare = Drift(SCHEMA, reference(price=QUARTERS))
    rare.saw(rows_of(np.zeros((900, 0))), [])
    rare.saw(*prices(0.5, users=499))
    assert rare.now() == {}
    rare.saw(*prices(0.5, users=101))
    assert rare.now().keys() == {"candidate.price"}


def test_what_is_missing_is_left_out() -> None:
    """Nulls and NaN; and what the record lacks is not told."""
    missing = [None if number % 2 else 1.0 for number in range(1200)]
    table, scores = (
        rows_of(np.full((1200, 2), math.nan), missing),
        scores_of(np.full((1200, 1), 0.5)),
    )
    scores[0][:] = np.nan
    record = reference_of(SCHEMA, "train", table, scores)
    assert record.numbers.keys() == {"profile.income", "candidate.size"}
    assert record.numbers["profile.income"].shares == [0, 1, 0]
    drift = Drift(SCHEMA, record)
    drift.saw(table, scores)
    expected = ["score.click", "score.watch", "profile.income", "candidate.size"]
    assert drift.now() == dict.fromkeys(expected, 0.0)


def test_both_parts_of_a_sequence_count() -> None:
    record = reference_of(SCHEMA, "test", rows_of(np.zeros((9, 1)), before=1, watched=2.0), [])
    drift = Drift(SCHEMA, record)
    drift.saw(rows_of(np.zeros((600, 1)), before=3, watched=2.0), [])
    drift.saw(rows_of(np.zeros((600, 1)), inside=1, watched=3.0), [])
    p = np.array([0.0, 3 * (1 - 1 / 5000) ** 600, 1.0])
    expected = stability_index(p / p.sum(), np.array([0.0, 1.0, 0.0]))
    assert drift.now()["views.watched"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"edges": [2.0, 1.0], "shares": [0.5, 0.25, 0.25]}, "ascend"),
        ({"edges": [1.0, 1.0], "shares": [0.5, 0.25, 0.25]}, "ascend"),
        ({"edges": [1.0], "shares": [1.0]}, "one more than edges"),
        ({"edges": [1.0], "shares": [1.5, -0.5]}, "from 0"),
        ({"edges": [1.0], "shares": [0.5, 0.4]}, "add up to 1"),
        ({"edges": [math.inf], "shares": [0.5, 0.5]}, "finite"),
    ],
)
def test_a_record_that_is_none_is_refused(content: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Distribution.model_validate(content)


def test_a_record_outlives_json() -> None:
    assert Reference.model_validate_json(NORMAL.model_dump_json()) == NORMAL
