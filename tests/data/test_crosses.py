"""Crosses: one id for what several ids are together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rayrank.data.crosses import cross
from rayrank.data.log import tables_needed
from rayrank.data.partition import build_rows
from rayrank.data.user_rows import row_schema

from ..embedding.test_golden import GAMMA, MASK, splitmix64
from .logs import DAY, HOUR, START, Record, Records, shop_schema, shown

CROSSES: Record = {
    "tables.crossed": {"dim": 4},
    "features.city_cat": {
        "tokens": ["candidate"],
        "kind": "cross",
        "of": ["city", "cat"],
        "table": "crossed",
    },
    "features.i_cat": {
        "tokens": ["views", "candidate"],
        "kind": "cross",
        "of": ["i", "cat"],
        "table": "crossed",
    },
}
IDS = st.integers(-(1 << 63), (1 << 63) - 1)


def plain(*ids: int) -> int:
    """Its bits are part of every bundle's format."""
    crossed = 0
    for part in ids:
        crossed = splitmix64((crossed + GAMMA & MASK) ^ splitmix64(part + GAMMA & MASK))
    return crossed - (1 << 64) if crossed >> 63 else crossed


@given(st.lists(st.tuples(IDS, IDS, IDS), min_size=1, max_size=8))
def test_a_cross_is_splitmix64_over_its_parts(rows: list[tuple[int, int, int]]) -> None:
    parts = [np.array(column, np.int64) for column in zip(*rows, strict=True)]
    assert cross(parts).tolist() == [plain(*row) for row in rows]
    assert cross(parts[:2]).tolist() == [plain(*row[:2]) for row in rows]


def test_order_counts_and_nothing_meets_by_chance() -> None:
    a, b = (grid.ravel() for grid in np.meshgrid(np.arange(300), np.arange(300)))
    assert len(np.unique(np.concatenate([cross([a, b]), cross([a, b, a])]))) == 2 * 300 * 300
    assert plain(1, 2) != plain(2, 1)


def test_rows_hold_crosses_of_their_own_profile_and_items() -> None:
    schema = shop_schema(CROSSES)
    log = Records(
        [shown(u, i, START + DAY * d + HOUR * i) for d in (0, 1) for u in (1, 2) for i in (1, 2)],
        users=[{"u": 1, "city": 7, "age": 30}],
        items=[{"i": 1, "cat": 3, "tags": [], "price": 1.0}],
    )
    rows = build_rows(log.tables(), schema, [START + 9 * DAY] * 2).rows
    assert rows.schema.field("candidates") == row_schema(
        schema, rows["user"].type, rows["user"].type
    ).field("candidates")
    for row in rows.to_pylist():
        city = {1: 7, 2: -1}[row["user"]]  # a user without a row has the default
        assert row["candidates"]["city_cat"] == [plain(city, cat) for cat in (3, 7)]
        assert row["candidates"]["i_cat"] == [plain(1, 3), plain(2, 7)]
        views = row["static_views"]
        assert views["i_cat"] == [plain(*of) for of in zip(views["i"], views["cat"], strict=True)]
    assert len(rows["static_views"].combine_chunks().field("i_cat").flatten()) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features.i_cat.of": ["i", "colour"]}, "no feature 'colour' of kind id or bucket"),
        ({"features.i_cat.of": ["i", "tags"]}, "no feature 'tags' of kind id or bucket"),
        ({"features.i_cat.of": ["i"]}, "at least 2"),
        ({"features.i_cat.of": ["i", "city"]}, "'city' is not in every token of the cross"),
        ({"features.i_cat.tokens": ["clicks"]}, "'cat' is not in every token of the cross: cl"),
        ({"features.i_cat.source": "items"}, "a cross has no source, column, default or as_of"),
        ({"features.i_cat.default": 1}, "a cross has no source, column, default or as_of"),
        ({"features.i_cat.of": None}, "of belongs to kind cross, which needs it"),
        ({"features.i.of": ["city", "cat"]}, "of belongs to kind cross"),
    ],
)
def test_crosses_that_cannot_be_made(change: Record, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shop_schema(CROSSES | change)


def test_a_log_has_no_column_of_a_cross() -> None:
    assert tables_needed(shop_schema(CROSSES)) == tables_needed(shop_schema())
