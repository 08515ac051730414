"""User rows against a plain Python reference, on random logs."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from rayrank.data.partition import Tables, UserRows, build_rows
from rayrank.data.user_rows import row_schema
from rayrank.errors import DataError
from rayrank.schema import Schema

from . import reference
from .logs import DAY, HOUR, START, TIMES, Record, Records, logs, ordered, shop_schema, shown

CUTS = st.lists(TIMES, min_size=2, max_size=2).map(sorted)
SELECTIONS: list[Record] = [{}, {"behaviours": "click"}, {"behaviours": "order"}]
settings = hypothesis_settings(deadline=None, max_examples=100)


def build(
    log: Records, schema: Schema, cuts: list[int] | None = None, max_history: int = 100
) -> UserRows:
    return build_rows(log.tables(), schema, cuts or [START + 9 * DAY] * 2, max_history)


def as_records(built: UserRows) -> list[Record]:
    rows = []
    for row, split in zip(built.rows.to_pylist(), built.split.tolist(), strict=True):
        lists: Record = {
            g: reference.unzipped(row, g) for g in ("history", "realtime", "candidates")
        }
        rows.append(row | lists | {"split": split})
    return rows


def without_sizes(rows: list[Record]) -> list[Record]:
    return [{k: v for k, v in row.items() if k not in ("tokens", "visible_pairs")} for row in rows]


@settings
@given(logs(), CUTS, st.integers(1, 4), st.sampled_from(SELECTIONS))
def test_equal_the_reference(
    log: Records, cuts: list[int], max_history: int, selection: Record
) -> None:
    schema = shop_schema(selection)
    built = build(log, schema, cuts, max_history)
    rows = as_records(built)
    assert without_sizes(rows) == reference.user_rows(log, schema, cuts, max_history)
    assert built.attributed == sum(sum(row["labels"]["order"]) for row in rows)


@settings
@given(logs(), CUTS)
def test_every_exposure_is_a_candidate_once_and_nothing_knows_its_future(
    log: Records, cuts: list[int]
) -> None:
    rows = as_records(build(log, shop_schema(), cuts))
    out = [(row["user"], c["item"], c["time"]) for row in rows for c in row["candidates"]]
    assert sorted(out) == sorted((e["u"], e["i"], e["t"]) for e in log.exposures)
    for row in rows:
        times = [c["time"] for c in row["candidates"]]
        history, realtime = ([b["known_at"] for b in row[g]] for g in ("history", "realtime"))
        assert times == sorted(times)
        assert history + realtime == sorted(history + realtime)
        assert all(known < row["window_start"] for known in history)
        assert all(row["window_start"] <= known < times[-1] for known in realtime)
        assert all(b["time"] <= b["known_at"] for b in row["history"] + row["realtime"])


@settings
@given(logs(max_size=24), st.sampled_from(SELECTIONS))
def test_tokens_and_visible_pairs_are_those_of_the_mask(log: Records, selection: Record) -> None:
    for row in as_records(build(log, shop_schema(selection))):
        groups = ("profile", "history", "realtime", "candidates")
        assert row["tokens"] == sum(len(row[group]) for group in groups)
        known = [b["known_at"] for b in row["realtime"]]
        expected = reference.visible_pairs(row)
        if len(set(known)) == len(known):
            assert row["visible_pairs"] == expected
        else:
            assert row["visible_pairs"] > expected


@settings
@given(logs())
def test_have_the_types_of_row_schema(log: Records) -> None:
    schema = shop_schema()
    rows = build(log, schema).rows
    expected = row_schema(schema, pa.int64(), pa.int64())
    assert {f.name: f.type for f in rows.schema} == {f.name: f.type for f in expected}


def test_no_profile_features_no_profile() -> None:
    schema = shop_schema(
        {"features.city": None, "features.age": None, "tables.city": None, "tables.age": None}
    )
    log = Records(exposures=[shown()])
    tables = log.tables()
    rows = build_rows(tables, schema, [START + DAY] * 2, 10).rows
    expected = row_schema(schema, pa.int64(), pa.int64())
    assert {f.name: f.type for f in rows.schema} == {f.name: f.type for f in expected}
    assert "profile" not in rows.column_names
    assert rows["tokens"].to_pylist() == [1]


def test_by_hand() -> None:
    """Two days of one user: yesterday is history, this morning is realtime by evening."""
    log = Records(
        exposures=[
            shown(1, 10, START + 9 * HOUR, click=1, watched=1.0),
            shown(1, 11, START + DAY + 8 * HOUR),
            shown(1, 12, START + DAY + 20 * HOUR),
            # Watched over midnight: known only on the second day.
            shown(1, 13, START + 23 * HOUR, k=START + DAY + HOUR),
        ],
        events=[ordered(1, 10, START + 9 * HOUR + 1000)],
    )
    first, second = as_records(build(log, shop_schema()))
    assert [c["item"] for c in first["candidates"]] == [10, 13]
    # Ordered, so known at once, an hour earlier than a click without an order would be.
    assert [b["known_at"] for b in first["realtime"]] == [START + 9 * HOUR + 1000]
    assert first["history"] == []
    assert [b["i"] for b in second["history"]] == [10]
    assert [(b["i"], b["order"]) for b in second["realtime"]] == [(13, 0), (11, 0)]
    assert [c["item"] for c in second["candidates"]] == [11, 12]
    # 2 profile + 1 history see each other; 2 realtime; 2 candidates, of which the first was
    # shown after 13 was known and the second after both.
    assert second["tokens"] == 7
    assert second["visible_pairs"] == 7 * 3 + (1 + 2) + (1 + 1) + (2 + 1)


def test_exposures_of_one_moment_keep_the_order_of_the_log() -> None:
    log = Records(exposures=[shown(1, item) for item in (5, 3, 9, 1)])
    rows = as_records(build(log, shop_schema()))
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
        build(log, shop_schema())


def test_string_keys_stay_strings() -> None:
    log = Records(exposures=[shown(f"user {u}", 1, START + u * HOUR) for u in (1, 2, 1)])
    exposures = log.table("exposures", {"u": pa.string()})
    schema = shop_schema(
        {"features.city": None, "features.age": None, "tables.city": None, "tables.age": None}
    )
    tables = Tables(exposures, None, None, log.table("items"))
    rows = build_rows(tables, schema, [START + DAY] * 2, 10).rows.to_pylist()
    assert {row["user"]: len(row["candidates"]["time"]) for row in rows} == {
        "user 1": 2,
        "user 2": 1,
    }
