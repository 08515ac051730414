"""An exposure log on disk: Parquet tables and the schema beside them.

    exposures   one row per shown item                      required
    items       side information, one row per item          where a feature names it
    users       profile, one row per user                   where a feature names it
    events      later actions: user, item, time, `type`     where a task is attributed from them

Each is a file `NAME.parquet` or a folder `NAME/` of Parquet files, on any filesystem pyarrow reads.
"""

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from rayrank.data.encode import encode
from rayrank.data.ids import id_type, to_ids
from rayrank.data.times import to_ms
from rayrank.errors import DataError
from rayrank.schema import Schema
from rayrank.storage import arrow_place, place

EVENT_TYPE = "type"


@dataclass(frozen=True)
class Log:
    """The tables under `root` (a path or a URI such as s3://bucket/log)."""

    root: str

    @cached_property
    def _where(self) -> tuple[pafs.FileSystem, str]:
        filesystem, path = arrow_place(place(self.root))
        return filesystem, path.rstrip("/")

    def fingerprint(self, tables: Iterable[str]) -> dict[str, str]:
        """The SHA-256 of every file of some tables, by its name under `root`. Reads all of it."""
        filesystem, root = self._where
        files = [file for table in tables for file in self.files(table)]

        def digest(file: str) -> str:
            with filesystem.open_input_stream(file) as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()

        with ThreadPoolExecutor() as pool:
            return dict(
                zip(
                    (f.removeprefix(f"{root}/") for f in files),
                    pool.map(digest, files),
                    strict=True,
                )
            )

    def files(self, table: str) -> list[str]:
        """The Parquet files of a table, sorted by name; DataError where there are none."""
        filesystem, root = self._where
        single = f"{root}/{table}.parquet"
        if filesystem.get_file_info(single).type == pafs.FileType.File:
            return [single]
        selector = pafs.FileSelector(f"{root}/{table}", allow_not_found=True, recursive=True)
        found = [i.path for i in filesystem.get_file_info(selector) if i.path.endswith(".parquet")]
        if not found:
            raise DataError(
                f"{self.root}: expected {table}.parquet or {table}/*.parquet, found neither"
            )
        return sorted(found)

    def columns_of(self, file: str) -> pa.Schema:
        """The Arrow schema of one file; DataError where it is not Parquet."""
        try:
            return pq.read_schema(file, filesystem=self._where[0])
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"{file}: not a Parquet file: {error}") from None

    def rows_of(self, file: str) -> int:
        """The number of rows in one file."""
        return int(pq.read_metadata(file, filesystem=self._where[0]).num_rows)

    def read(self, table: str, columns: list[str]) -> pa.Table:
        """Some columns of a whole table, in memory."""
        return pa.concat_tables(
            [self.read_file(file, columns) for file in self.files(table)],
            promote_options="permissive",
        )

    def read_file(self, file: str, columns: list[str]) -> pa.Table:
        """Some columns of one file."""
        return pq.read_table(file, columns=columns, filesystem=self._where[0], partitioning=None)


def tables_needed(schema: Schema) -> dict[str, list[str]]:
    """Each table the schema reads, and the columns it needs there, sorted."""
    exposures = {schema.user, schema.item, schema.time, *schema.outcomes}
    exposures |= {task.label for task in schema.tasks.values() if task.label}
    needed: dict[str, set[str]] = {"exposures": exposures}
    if schema.known_at:
        exposures.add(schema.known_at)
    if schema.has_events:
        needed["events"] = {schema.user, schema.item, schema.time, EVENT_TYPE}
    for name, feature in schema.features.items():
        column = schema.column(name)
        if feature.source == "exposures":
            if column not in attributed(schema):
                exposures.add(column)
            if feature.as_of:
                exposures.add(feature.as_of)
        else:
            key = schema.item if feature.source == "items" else schema.user
            needed.setdefault(feature.source, {key}).add(column)
    return {table: sorted(columns) for table, columns in needed.items()}


def attributed(schema: Schema) -> set[str]:
    """The tasks whose labels are made from events: columns that no file holds."""
    return {name for name, task in schema.tasks.items() if task.event is not None}


def check_columns(log: Log, schema: Schema) -> None:
    """Every file there, not empty, with every column. Reads metadata only. Raises DataError."""
    for table, columns in tables_needed(schema).items():
        files = log.files(table)
        for file in files:
            present = log.columns_of(file).names
            for column in columns:
                if column not in present:
                    raise DataError(
                        f"{file}: no column {column!r}, which the schema names; "
                        f"it has {', '.join(present)}"
                    )
        if sum(log.rows_of(file) for file in files) == 0:
            raise DataError(f"{files[0]}: {table} is empty; expected at least one row")
    _check_keys(log, schema)


def _check_keys(log: Log, schema: Schema) -> None:
    needed = tables_needed(schema)
    types = {table: types_of(log, table, columns) for table, columns in needed.items()}
    for table, keys in keys_of(schema).items():
        for key in keys if table in types else []:
            shown, joined = (id_type(types[t].field(key).type) for t in ("exposures", table))
            if shown != joined:
                raise DataError(
                    f"{log.files(table)[0]}: column {key!r}: its keys are of type "
                    f"{joined}, those of exposures {shown}: they would never meet"
                )


def types_of(log: Log, table: str, columns: list[str]) -> pa.Schema:
    """The types of some columns, each wide enough for every file. Raises DataError for a file
    whose type fits none of the files before it."""
    types = None
    for file in log.files(table):
        part = log.columns_of(file)
        part = pa.schema([pa.field(column, part.field(column).type) for column in columns])
        try:
            types = (
                part
                if types is None
                else pa.unify_schemas([types, part], promote_options="permissive")
            )
        except (pa.ArrowTypeError, pa.ArrowInvalid) as error:
            raise DataError(f"{file}: unlike the files before it: {error}") from None
    assert types is not None
    return types


def keys_of(schema: Schema) -> dict[str, list[str]]:
    """The columns of each table that say whose rows they are."""
    return {
        "exposures": [schema.user, schema.item],
        "events": [schema.user, schema.item],
        "items": [schema.item],
        "users": [schema.user],
    }


def check_file(log: Log, schema: Schema, table: str, file: str) -> None:
    """Every value of one file fits the schema. Raises DataError naming file and column."""
    rows = log.read_file(file, tables_needed(schema)[table])

    def where(column: str) -> str:
        return f"{file}: column {column!r}"

    keys = keys_of(schema)[table]
    for key in keys:
        if rows[key].null_count:
            raise DataError(f"{where(key)}: {rows[key].null_count} keys are missing")
        to_ids(rows[key].combine_chunks(), where(key))
    if table in ("items", "users") and len(rows[keys[0]].unique()) != len(rows):
        raise DataError(f"{where(keys[0])}: a key occurs twice; expected one row for each")
    if table in ("exposures", "events"):
        to_ms(rows[schema.time].combine_chunks(), schema.time_unit, where(schema.time))
    if table == "events" and id_type(rows[EVENT_TYPE].type) != "string":
        raise DataError(f"{where(EVENT_TYPE)}: expected strings, found {rows[EVENT_TYPE].type}")
    if table == "exposures":
        if schema.known_at:
            to_ms(rows[schema.known_at].combine_chunks(), schema.time_unit, where(schema.known_at))
        for task in schema.tasks.values():
            if task.label:
                check_label(rows[task.label].combine_chunks(), where(task.label))
    for name, feature in schema.features.items():
        column = schema.column(name)
        if feature.source == table and column in rows.column_names:
            encode(rows[column], feature, where(column))


def check_label(values: pa.Array, where: str) -> None:
    """Raises DataError unless every value is 0 or 1 (or false or true)."""
    kind = values.type
    if not (pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise DataError(f"{where}: expected a label of 0 and 1, found {kind}")
    numbers = values.cast(pa.int8()) if pa.types.is_boolean(kind) else values
    good = pc.fill_null(
        pc.is_in(numbers.cast(pa.float64(), safe=False), pa.array([0.0, 1.0])), False
    )
    if not pc.all(good, min_count=0).as_py():
        row = pc.index(good, False).as_py()
        raise DataError(
            f"{where}: row {row} holds {values[row].as_py()!r}, expected a label of 0 or 1"
        )
