"""What is wrong with a log is said before any row is built, naming file and column."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rayrank.data.log import Log, check_types, tables_needed
from rayrank.errors import DataError

from .checked import check
from .logs import START, TYPES, Record, Records, ordered, searched, shop_schema, shown, write

SOUND = Records(
    exposures=[shown(1, 1), shown(2, 2, START + 5, click=1)],
    events=[ordered(2, 2, START + 9)],
    users=[{"u": 1, "city": 1, "age": 20}, {"u": 2, "city": 2, "age": 30}],
    items=[{"i": 1, "cat": 1, "tags": [1], "price": 1.0}, {"i": 2, "cat": 2, "tags": []}],
    searches=[searched(2, 5, START)],
)


def sound() -> dict[str, pa.Table]:
    return {name: SOUND.table(name) for name in TYPES}


def replaced(table: str, column: str, values: list[object] | pa.Array) -> dict[str, pa.Table]:
    tables = sound()
    position = tables[table].column_names.index(column)
    tables[table] = tables[table].set_column(position, column, pa.array(values))
    return tables


def fault(folder: Path, tables: dict[str, pa.Table], changes: Record | None = None) -> str:
    log = write(folder, tables)
    with pytest.raises(DataError) as error:
        check(log, shop_schema(changes))
    return str(error.value)


@pytest.mark.parametrize("files", [1, 2])
def test_a_sound_log(tmp_path: Path, files: int) -> None:
    check(write(tmp_path, sound(), files), shop_schema())


def test_as_a_uri(tmp_path: Path) -> None:
    write(tmp_path, sound())
    log = Log(tmp_path.as_uri())
    check(log, shop_schema())
    assert len(log.read("exposures", ["u", "t"])) == 2


def test_the_columns_that_are_read() -> None:
    assert tables_needed(shop_schema()) == {
        "exposures": ["click", "ctr", "i", "k", "s", "t", "u", "watched"],
        "events": ["i", "t", "type", "u"],
        "items": ["cat", "i", "price", "tags"],
        "users": ["age", "city", "u"],
        "searches": ["at", "query", "seen", "u"],
    }


def test_a_sequence_reads_items_by_the_item_of_its_own_rows() -> None:
    assert tables_needed(
        shop_schema(
            {
                "features.cat.tokens": ["searches", "candidate"],
                "sequences.orders": None,
                "sequences.buys": None,
                "features.i.tokens": ["clicks", "candidate"],
                "sequences.searches.type": "voice",
                "tasks": {"click": {"label": "click", "known_at": "clicked_at"}},
            }
        )
    ) == {
        "exposures": ["click", "clicked_at", "ctr", "i", "k", "s", "t", "u", "watched"],
        "items": ["cat", "i", "price", "tags"],
        "users": ["age", "city", "u"],
        "searches": ["at", "i", "query", "seen", "type", "u"],
    }


@pytest.mark.parametrize("table", TYPES)
def test_a_missing_table(tmp_path: Path, table: str) -> None:
    tables = sound()
    del tables[table]
    assert fault(tmp_path, tables) == (
        f"{tmp_path}: expected {table}.parquet or {table}/*.parquet, found neither"
    )


@pytest.mark.parametrize(
    ("table", "column"),
    [
        (table, column)
        for table, columns in tables_needed(shop_schema()).items()
        for column in columns
    ],
)
def test_a_missing_column(tmp_path: Path, table: str, column: str) -> None:
    tables = sound()
    tables[table] = tables[table].drop_columns([column])
    message = fault(tmp_path, tables)
    assert message.startswith(f"{tmp_path}/{table}.parquet: no column {column!r}")


@pytest.mark.parametrize("table", ["exposures", "items", "users"])
def test_an_empty_table(tmp_path: Path, table: str) -> None:
    tables = sound()
    tables[table] = tables[table].slice(0, 0)
    assert fault(tmp_path, tables).startswith(f"{tmp_path}/{table}.parquet: {table} is empty")


@pytest.mark.parametrize("table", ["events", "searches"])
def test_a_quiet_day(tmp_path: Path, table: str) -> None:
    tables = sound()
    tables[table] = tables[table].slice(0, 0)
    check(write(tmp_path, tables), shop_schema())


def test_rows_that_change_may_have_a_key_twice_but_not_at_once(tmp_path: Path) -> None:
    versions = {"as_of": {"items": "h"}}
    tables = sound()
    tables["items"] = Records(items=[{"i": 1, "h": START}, {"i": 1, "h": START + 1}]).table("items")
    check(write(tmp_path / "good", tables), shop_schema(versions | {"features.cat.default": 1}))
    tables["items"] = Records(items=[{"i": 1, "h": START}, {"i": 1, "h": START}]).table("items")
    assert "column 'i': a key occurs twice" in fault(tmp_path / "bad", tables, versions)
    tables["items"] = Records(items=[{"i": 1, "h": 5}]).table("items")
    assert "is time_unit right?" in fault(tmp_path / "unit", tables, versions)


def test_a_table_that_is_there_twice(tmp_path: Path) -> None:
    log = write(tmp_path, sound())
    (tmp_path / "events").mkdir()
    pq.write_table(sound()["events"], tmp_path / "events" / "more.parquet")
    with pytest.raises(DataError, match=r"both events\.parquet and events/ are there"):
        check(log, shop_schema())


def test_a_column_that_is_there_twice(tmp_path: Path) -> None:
    tables = sound()
    tables["events"] = tables["events"].append_column("t", tables["events"]["t"])
    message = fault(tmp_path, tables)
    assert message.startswith(f"{tmp_path}/events.parquet: column 't' is there 2 times; it has u")


def test_a_damaged_page_behind_a_good_footer(tmp_path: Path) -> None:
    log = write(tmp_path, sound())
    file = tmp_path / "exposures.parquet"
    content = bytearray(file.read_bytes())
    content[4:200] = b"\xff" * 196
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"exposures\.parquet: damaged: "):
        check(log, shop_schema())


def test_a_type_that_no_row_has_is_a_misspelt_one() -> None:
    schema = shop_schema()
    check_types(schema, {"events": {"order": 3, "cart": 1}, "exposures": {}}, "log")
    check_types(schema, {"events": {}}, "log")  # a quiet day
    with pytest.raises(DataError) as error:
        check_types(schema, {"events": {"orders": 3, "cart": 1}}, "log")
    assert str(error.value) == (
        "log: events: column 'type': no row is of type 'order', which the schema names; "
        "there are cart, orders"
    )
    voice = shop_schema({"sequences.searches.type": "voice"})
    with pytest.raises(DataError, match="searches: column 'type': no row is of type 'voice'"):
        check_types(voice, {"events": {"order": 1}, "searches": {"text": 5}}, "log")


@pytest.mark.parametrize("content", [b"", b"not parquet at all"])
def test_a_file_that_is_not_parquet(tmp_path: Path, content: bytes) -> None:
    log = write(tmp_path, sound())
    (tmp_path / "items.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"items\.parquet: not a Parquet file"):
        check(log, shop_schema())


@pytest.mark.parametrize(
    ("table", "column", "values", "message"),
    [
        ("exposures", "click", [0, 2], "row 1 holds 2, expected a label of 0 or 1"),
        ("exposures", "click", [0, 2**60 + 1], "expected a label of 0 or 1"),
        ("exposures", "click", [0.5, 1.0], "row 0 holds 0.5, expected a label"),
        ("exposures", "click", [2.0, float("nan")], "row 0 holds 2.0, expected a label"),
        ("exposures", "click", ["0", "1"], "expected a label of 0 and 1, found string"),
        ("exposures", "u", [1, None], "1 keys are missing"),
        ("exposures", "i", [None, 1], "1 keys are missing"),
        ("exposures", "u", [1.0, 2.0], "expected integers or strings for an id, found double"),
        ("exposures", "t", [START, None], "1 missing times"),
        ("exposures", "t", [START, START // 1000], "is time_unit right?"),
        ("exposures", "t", ["today", "now"], "expected a time"),
        ("exposures", "k", [START, None], "1 missing times"),
        ("exposures", "ctr", [0.5, None], "row 1 is missing"),
        ("exposures", "ctr", [0.5, float("inf")], "expected a finite number"),
        ("exposures", "watched", ["a", "b"], "expected numbers, found string"),
        ("events", "u", [None], "1 keys are missing"),
        ("events", "t", [5], "is time_unit right?"),
        ("events", "type", [1], "expected strings, found int64"),
        ("events", "type", pa.array([None], pa.string()), "1 types are missing"),
        ("items", "i", [2, 2], "a key occurs twice"),
        ("items", "i", [2, None], "1 keys are missing"),
        ("items", "cat", [1.5, 2.5], "expected integers or strings"),
        ("items", "price", [-1.0, 0.0], "log1p needs numbers from 0"),
        ("items", "tags", [1, 2], "expected a list of ids"),
        ("users", "u", [1, 1], "a key occurs twice"),
        ("users", "age", ["old", "young"], "expected numbers"),
        ("searches", "u", [None], "1 keys are missing"),
        ("searches", "at", [START // 1000], "is time_unit right?"),
        ("searches", "seen", [5], "is time_unit right?"),
        ("searches", "query", [0.5], "expected integers or strings"),
    ],
)
def test_a_value_that_does_not_fit(
    tmp_path: Path, table: str, column: str, values: list[object], message: str
) -> None:
    found = fault(tmp_path, replaced(table, column, values))
    assert found.startswith(f"{tmp_path}/{table}.parquet: column {column!r}: "), found
    assert message in found


def test_labels_may_be_booleans_or_floats(tmp_path: Path) -> None:
    number = {"tokens": ["views"], "kind": "number", "default": 0}
    for name, values in (
        ("a", [True, False]),
        ("b", [1.0, 0.0]),
        ("c", [1, None]),  # unknown
        ("d", [float("nan"), 0.0]),
        ("e", [None, None]),  # as in the file of a day that has just ended
    ):
        log = write(tmp_path / name, replaced("exposures", "click", values))
        check(log, shop_schema({"features.click": number, "tables.outcome": None}))


@pytest.mark.parametrize(
    ("table", "column"),
    [("users", "u"), ("items", "i"), ("events", "u"), ("events", "i"), ("searches", "u")],
)
def test_keys_that_would_never_meet(tmp_path: Path, table: str, column: str) -> None:
    """Integers here and strings there: every join would quietly find nothing."""
    strings = [str(key) for key in range(len(getattr(SOUND, table)))]
    found = fault(tmp_path, replaced(table, column, strings))
    assert found.startswith(f"{tmp_path}/{table}.parquet: column {column!r}: "), found
    assert "string" in found


def test_files_of_one_table_that_do_not_fit_each_other(tmp_path: Path) -> None:
    log = write(tmp_path, sound(), files=2)
    second = write(tmp_path / "other", replaced("exposures", "u", ["1", "2"]))
    (tmp_path / "exposures" / "1.parquet").write_bytes(
        Path(second.files("exposures")[0]).read_bytes()
    )
    with pytest.raises(DataError, match=r"exposures/1\.parquet: unlike the files before it.* u "):
        check(log, shop_schema())
