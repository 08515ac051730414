"""User rows against a plain Python reference, on random logs."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from rayrank.data.partition import UserRows, build_rows
from rayrank.data.user_rows import row_schema
from rayrank.errors import DataError
from rayrank.schema import Schema

from ..effort import examples
from . import reference
from .logs import (
    ALL_USERS_ALIKE,
    DAY,
    HOUR,
    START,
    TIMES,
    TYPES,
    Record,
    Records,
    logs,
    ordered,
    searched,
    shop_schema,
    shown,
)

SCHEMA = shop_schema()
LISTS = ("static", "realtime", "candidates")
CUTS = st.lists(TIMES, min_size=2, max_size=2).map(sorted)
settings = hypothesis_settings(deadline=None, max_examples=examples(100))


def build(log: Records, schema: Schema, cuts: list[int] | None = None) -> UserRows:
    return build_rows(log.tables(), schema, cuts or [START + 9 * DAY] * 2)


def groups(schema: Schema, *parts: str) -> list[str]:
    """The columns of a row that are lists of elements."""
    return [group.name for group in schema.groups if group.part in (parts or LISTS)]


def as_records(built: UserRows) -> list[Record]:
    rows = []
    for row, split in zip(built.rows.to_pylist(), built.split.tolist(), strict=True):
        of_elements = [*reference.parts_of(row, "static"), *reference.parts_of(row, "realtime")]
        lists: Record = {g: reference.unzipped(row, g) for g in (*of_elements, "candidates")}
        rows.append(row | lists | {"split": split})
    return rows


def without_sizes(rows: list[Record]) -> list[Record]:
    return [{k: v for k, v in row.items() if k not in ("tokens", "visible_pairs")} for row in rows]


@settings
@given(logs(), CUTS, st.none() | TIMES, st.integers(1, 4), st.sampled_from(["r", None]))
def test_equal_the_reference(
    log: Records, cuts: list[int], complete_until: int | None, keep: int, request: str | None
) -> None:
    kept = {f"sequences.{name}.keep": keep for name in ("views", "orders", "searches")}
    schema = shop_schema(kept | {"request": request})
    built = build_rows(log.tables(), schema, cuts, complete_until)
    expected = reference.user_rows(log, schema, cuts, complete_until)
    assert without_sizes(as_records(built)) == expected
    exposures = sorted(log.exposures, key=lambda e: (e["u"], e["t"]))
    ordered = reference.outcomes(schema, exposures, log.events, complete_until)["order"]
    assert built.attributed.sum() == sum(outcome.happened for outcome in ordered)


@settings
@given(logs(versions=True), CUTS, st.sampled_from(["r", None]))
def test_rows_that_change_are_joined_as_of_the_exposure(
    log: Records, cuts: list[int], request: str | None
) -> None:
    schema = shop_schema({"as_of": {"items": "h", "users": "h"}, "request": request})
    built = build_rows(log.tables(), schema, cuts)
    assert without_sizes(as_records(built)) == reference.user_rows(log, schema, cuts)


def test_a_version_holds_from_its_own_moment_on() -> None:
    """Shown a moment before the item's second row holds, when it does, and before its first."""
    held = [{"i": 1, "cat": 5, "h": START + 2000}, {"i": 1, "cat": 3, "h": START + 1000}]
    shows = [shown(1, 1, START + ms) for ms in (999, 1000, 1999, 2000, 9000)]
    users = [{"u": 1, "city": city, "h": START + 1000 * city} for city in (0, 1)]
    (row,) = as_records(
        build(
            Records(shows, items=held, users=users),
            shop_schema({"as_of": {"items": "h", "users": "h"}}),
        )
    )
    assert [c["cat"] for c in row["candidates"]] == [7, 3, 3, 5, 5]  # 7: the default
    assert row["profile"]["city"] == 0  # as of the row's first exposure


def test_two_versions_of_one_moment_are_one_too_many() -> None:
    twice = Records([shown()], users=[{"u": 1, "h": START}, {"u": 1, "h": START}])
    with pytest.raises(DataError, match="users: column 'u': a key occurs twice"):
        build(twice, shop_schema({"as_of": {"users": "h"}}))


def test_a_profile_feature_may_be_a_column_of_the_first_exposure() -> None:
    feature = {"tokens": ["profile"], "kind": "number", "column": "ctr"}
    schema = shop_schema({"features.eagerness": feature})
    shows = [shown(1, 1, START + hour * HOUR, ctr=hour / 64) for hour in (5, 3, 30)]
    first, second = as_records(build(Records(shows), schema))
    assert (first["profile"]["eagerness"], second["profile"]["eagerness"]) == (3 / 64, 30 / 64)


def test_a_log_is_complete_until_its_last_exposure_or_event() -> None:
    """An hour for an order: of the first click it is over with what came last."""
    shows = [shown(1, 1, START, click=1), shown(2, 1, START + 1, click=1)]
    for last in (
        {"exposures": [*shows, shown(3, 1, START + HOUR)]},
        {"exposures": shows, "events": [ordered(7, 7, START + HOUR)]},
    ):
        rows = as_records(build(Records(**last), SCHEMA))
        assert [row["labels"]["order"] for row in rows[:2]] == [[0.0], [None]]


@settings
@given(logs(), CUTS)
def test_every_exposure_is_a_candidate_once_and_nothing_knows_its_future(
    log: Records, cuts: list[int]
) -> None:
    rows = as_records(build(log, SCHEMA, cuts))
    out = [(row["user"], c["item"], c["time"]) for row in rows for c in row["candidates"]]
    assert sorted(out) == sorted((e["u"], e["i"], e["t"]) for e in log.exposures)
    for row in rows:
        times = [c["time"] for c in row["candidates"]]
        assert times == sorted(times)
        for sequence in SCHEMA.sequences:
            static, realtime = row[f"static_{sequence}"], row[f"realtime_{sequence}"]
            known = [b["known_at"] for b in static + realtime]
            assert known == sorted(known)
            assert all(b["known_at"] < row["window_start"] for b in static)
            assert all(row["window_start"] <= b["known_at"] < times[-1] for b in realtime)
            assert all(b["time"] <= b["known_at"] for b in static + realtime)


@settings
@given(logs(max_size=24))
def test_tokens_and_visible_pairs_are_those_of_the_mask(log: Records) -> None:
    for row in as_records(build(log, SCHEMA)):
        tokens = len(row["profile"]) + sum(len(row[group]) for group in groups(SCHEMA))
        assert row["tokens"] == tokens
        assert row["visible_pairs"] == reference.visible_pairs(row)


@settings
@given(logs())
def test_have_the_types_of_row_schema(log: Records) -> None:
    schema = shop_schema()
    rows = build(log, schema).rows
    expected = row_schema(schema, pa.int64(), pa.int64())
    assert {f.name: f.type for f in rows.schema} == {f.name: f.type for f in expected}


def test_no_profile_features_no_profile() -> None:
    schema = shop_schema(ALL_USERS_ALIKE)
    log = Records(exposures=[shown()])
    tables = log.tables()
    rows = build_rows(tables, schema, [START + DAY] * 2).rows
    expected = row_schema(schema, pa.int64(), pa.int64())
    assert {f.name: f.type for f in rows.schema} == {f.name: f.type for f in expected}
    assert "profile" not in rows.column_names
    assert rows["tokens"].to_pylist() == [1]


def test_by_hand() -> None:
    """Two days of one user: yesterday is static, this morning is realtime by evening."""
    log = Records(
        exposures=[
            shown(1, 10, START + 9 * HOUR, click=1, watched=1.0),
            shown(1, 11, START + DAY + 8 * HOUR),
            shown(1, 12, START + DAY + 20 * HOUR),
            # Watched over midnight: known only on the second day.
            shown(1, 13, START + 23 * HOUR, k=START + DAY + HOUR, click=1),
        ],
        events=[ordered(1, 10, START + 9 * HOUR + 1000)],
        searches=[searched(1, 5, START), searched(1, 6, START + 9 * HOUR, late=16 * HOUR)],
    )
    first, second = as_records(build(log, SCHEMA))

    def items(row: Record, group: str) -> list[int]:
        return [b["i"] for b in row[group]]

    assert items(first, "candidates") == [10, 13]
    assert {group: len(first[group]) for group in groups(SCHEMA, "static")} == dict.fromkeys(
        groups(SCHEMA, "static"), 0
    )
    assert items(first, "realtime_views") == items(first, "realtime_clicks") == [10]
    # An order is known when it comes, as an exposure that led to one and as an event.
    assert first["realtime_buys"][0]["time"] == START + 9 * HOUR
    assert first["realtime_buys"][0]["known_at"] == START + 9 * HOUR + 1000
    assert first["realtime_orders"][0]["time"] == START + 9 * HOUR + 1000
    assert [b["query"] for b in first["realtime_searches"]] == [5]

    for name in ("views", "clicks", "buys", "orders"):
        assert items(second, f"static_{name}") == [10]
    assert [b["query"] for b in second["static_searches"]] == [5]
    assert items(second, "realtime_views") == [13, 11]
    assert items(second, "realtime_clicks") == [13]
    assert [b["query"] for b in second["realtime_searches"]] == [6]
    assert items(second, "candidates") == [11, 12]
    # 2 profile and 5 static see each other. Of 4 realtime the view and the click of 13 and the
    # search were known at one moment, an hour into the day, and the view of 11 after them; of 2
    # candidates the first was shown after three of those, the second after all.
    assert second["tokens"] == 13
    assert second["visible_pairs"] == 13 * 7 + (1 + 1 + 1 + 4) + (1 + 3) + (1 + 4)


def test_candidates_of_one_request_know_nothing_of_each_other() -> None:
    """Three shown in turn by one request, the second clicked at once, and one by the next."""
    shows = [shown(1, item, START + item * 1000, click=int(item == 2), r=7) for item in (1, 2, 3)]
    log = Records([*shows, shown(1, 4, START + 4000, r=8)])
    (row,) = as_records(build(log, shop_schema({"request": "r"})))
    assert [(c["item"], c["time"] - START) for c in row["candidates"]] == [
        (1, 1000),
        (2, 1000),
        (3, 1000),
        (4, 4000),
    ]
    assert [b["i"] for b in row["realtime_clicks"]] == [2]
    # The click was known at 2 s: of the four only the last was asked for later.
    (alone,) = as_records(build(Records(shows), shop_schema({"request": "r"})))
    assert alone["realtime_clicks"] == alone["realtime_views"] == []


def test_a_request_over_midnight_is_of_the_day_it_came_on() -> None:
    log = Records([shown(1, item, START + DAY - 1000 + item, r=1) for item in (0, 2000)])
    (row,) = as_records(build(log, shop_schema({"request": "r"})))
    assert row["window_start"] == START
    assert len(row["candidates"]) == 2


def test_exposures_of_one_moment_keep_the_order_of_the_log() -> None:
    log = Records(exposures=[shown(1, item) for item in (5, 3, 9, 1)])
    rows = as_records(build(log, SCHEMA))
    assert [c["item"] for c in rows[0]["candidates"]] == [5, 3, 9, 1]


@pytest.mark.parametrize(
    ("feature", "table", "key"), [("cat", "items", "item 4"), ("city", "users", "user 1")]
)
def test_a_missing_row_without_a_default_is_named(feature: str, table: str, key: str) -> None:
    log = Records(
        exposures=[shown(1, 3), shown(1, 4)],
        items=[{"i": 3, "cat": 0}],
        users=[{"u": 2, "city": 0}],
    )
    with pytest.raises(DataError) as error:
        build(log, shop_schema({f"features.{feature}.default": None}))
    message = str(error.value)
    assert f"{table}: column '{feature}'" in message
    assert key in message


@pytest.mark.parametrize(("table", "row"), [("users", {"u": 1}), ("items", {"i": 1})])
def test_a_key_with_two_rows_is_refused(table: str, row: Record) -> None:
    log = Records(exposures=[shown()])
    setattr(log, table, [row, row])
    with pytest.raises(DataError, match=f"{table}: column '{next(iter(row))}': a key occurs twice"):
        build(log, SCHEMA)


def test_string_keys_stay_strings() -> None:
    log = Records(exposures=[shown(f"user {u}", 1, START + u * HOUR) for u in (1, 2, 1)])
    tables = {name: log.table(name, {"u": pa.string()}) for name in TYPES if name != "items"}
    tables["items"] = log.table("items")
    schema = shop_schema(ALL_USERS_ALIKE)
    rows = build_rows(tables, schema, [START + DAY] * 2).rows.to_pylist()
    assert {row["user"]: len(row["candidates"]["time"]) for row in rows} == {
        "user 1": 2,
        "user 2": 1,
    }


def test_exposures_that_are_alike_in_everything() -> None:
    twice = Records([shown(1, 1), shown(2, 1), shown(2, 1), shown(2, 1), shown(2, 1, ctr=0.5)])
    refusing = shop_schema({"duplicates": "refuse"})
    with pytest.raises(DataError, match=r"2 rows are there twice.* the first of user 2 and item 1"):
        build(twice, refusing)
    alike = Records([shown(1, 1), shown(2, 1), shown(2, 2), shown(2, 1, ctr=0.5)])
    assert build(alike, refusing).rows["user"].to_pylist() == [1, 2]
    assert sum(len(row["labels"]["click"]) for row in build(twice, SCHEMA).rows.to_pylist()) == 5
