"""What is wrong with a log is said before any row is built, naming file and column."""

from pathlib import Path

import pyarrow as pa
import pytest
from rayrank.data.log import Log, check_columns, check_file, tables_needed
from rayrank.errors import DataError
from rayrank.schema import Schema

from .logs import START, Record, Records, ordered, shop_schema, shown, write

SOUND = Records(
    exposures=[shown(1, 1), shown(2, 2, START + 5, click=1)],
    events=[ordered(2, 2, START + 9)],
    users=[{"u": 1, "city": 1, "age": 20}, {"u": 2, "city": 2, "age": 30}],
    items=[{"i": 1, "cat": 1, "tags": [1], "price": 1.0}, {"i": 2, "cat": 2, "tags": []}],
)
TABLES = ("exposures", "events", "users", "items")


def sound() -> dict[str, pa.Table]:
    return {name: SOUND.table(name) for name in TABLES}


def replaced(table: str, column: str, values: list[object] | pa.Array) -> dict[str, pa.Table]:
    tables = sound()
    position = tables[table].column_names.index(column)
    tables[table] = tables[table].set_column(position, column, pa.array(values))
    return tables


def check(log: Log, schema: Schema) -> None:
    check_columns(log, schema)
    for table in tables_needed(schema):
        for file in log.files(table):
            check_file(log, schema, table, file)


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
    }


@pytest.mark.parametrize("table", TABLES)
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


@pytest.mark.parametrize("table", TABLES)
def test_an_empty_table(tmp_path: Path, table: str) -> None:
    tables = sound()
    tables[table] = tables[table].slice(0, 0)
    assert fault(tmp_path, tables).startswith(f"{tmp_path}/{table}.parquet: {table} is empty")


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
        ("exposures", "click", [0, None], "row 1 holds None, expected a label of 0 or 1"),
        ("exposures", "click", [0, 2**60 + 1], "expected a label of 0 or 1"),
        ("exposures", "click", [0.5, 1.0], "row 0 holds 0.5, expected a label"),
        ("exposures", "click", [0.0, float("nan")], "row 1 holds nan, expected a label"),
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
        ("items", "i", [2, 2], "a key occurs twice"),
        ("items", "i", [2, None], "1 keys are missing"),
        ("items", "cat", [1.5, 2.5], "expected integers or strings"),
        ("items", "price", [-1.0, 0.0], "log1p needs numbers from 0"),
        ("items", "tags", [1, 2], "expected a list of ids"),
        ("users", "u", [1, 1], "a key occurs twice"),
        ("users", "age", ["old", "young"], "expected numbers"),
    ],
)
def test_a_value_that_does_not_fit(
    tmp_path: Path, table: str, column: str, values: list[object], message: str
) -> None:
    found = fault(tmp_path, replaced(table, column, values))
    assert found.startswith(f"{tmp_path}/{table}.parquet: column {column!r}: "), found
    assert message in found


def test_labels_may_be_booleans_or_floats(tmp_path: Path) -> None:
    number = {"tokens": ["behaviour"], "kind": "number"}
    for name, values in (("a", [True, False]), ("b", [1.0, 0.0])):
        log = write(tmp_path / name, replaced("exposures", "click", values))
        check(log, shop_schema({"features.click": number}))


@pytest.mark.parametrize(
    ("table", "column"), [("users", "u"), ("items", "i"), ("events", "u"), ("events", "i")]
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
