"""An exposure log on disk: Parquet tables and the schema beside them.

    exposures   one row per shown item                      required
    items       side information, one row per item          where a feature names it
    users       profile, one row per user                   where a feature names it
    events      later actions: user, item, time, `type`     where a task is attributed from them
    any other   what users did: user, time, columns         where a sequence comes from it

Each is a file `NAME.parquet` or a folder `NAME/` of Parquet files, on any filesystem pyarrow reads.
"""

import hashlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from rayrank.data.ids import IdTypes, id_type
from rayrank.errors import DataError
from rayrank.schema import EXPOSURES, Schema
from rayrank.storage import arrow_place, place

EVENTS = "events"
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
        selector = pafs.FileSelector(f"{root}/{table}", allow_not_found=True, recursive=True)
        found = [i.path for i in filesystem.get_file_info(selector) if i.path.endswith(".parquet")]
        if filesystem.get_file_info(single).type == pafs.FileType.File:
            if found:
                raise DataError(
                    f"{self.root}: both {table}.parquet and {table}/ are there; which is meant?"
                )
            return [single]
        if not found:
            raise DataError(
                f"{self.root}: expected {table}.parquet or {table}/*.parquet, found neither"
            )
        return sorted(found)

    def listing(self, tables: Iterable[str]) -> dict[str, tuple[int, int]]:
        """The size and time (ns) of every file of some tables: what changes when any is added or
        written anew. Reads no file."""
        filesystem, _ = self._where
        files = [file for table in tables for file in self.files(table)]
        infos = filesystem.get_file_info(files)
        return {info.path: (info.size or 0, info.mtime_ns or 0) for info in infos}

    def columns_of(self, file: str) -> pa.Schema:
        """The Arrow schema of one file; DataError where it is not Parquet."""
        try:
            return pq.read_schema(file, filesystem=self._where[0])
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"{file}: not a Parquet file: {error}") from None

    def rows_of(self, file: str) -> int:
        """The number of rows in one file."""
        return int(pq.read_metadata(file, filesystem=self._where[0]).num_rows)

    def open(self, file: str) -> pa.NativeFile:
        """A file to read from any place."""
        return self._where[0].open_input_file(file)

    def read(self, table: str, columns: list[str]) -> pa.Table:
        """Some columns of a whole table, in memory. Raises DataError, as `read_file`."""
        parts = [self.read_file(file, columns) for file in self.files(table)]
        return pa.concat_tables(parts, promote_options="permissive")

    def read_file(
        self, file: str, columns: list[str], row_groups: list[int] | None = None
    ) -> pa.Table:
        """Some columns of one file, or of some of its row groups; DataError where what its footer
        promises cannot be read."""
        try:
            with self.open(file) as source:
                opened = pq.ParquetFile(source)
                groups = range(opened.num_row_groups) if row_groups is None else row_groups
                return opened.read_row_groups(list(groups), columns=columns)
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"{file}: damaged: {error}") from None


def tables_needed(schema: Schema) -> dict[str, list[str]]:
    """Each table the schema reads, and the columns it needs there, sorted."""
    outcomes = schema.outcome_known_at
    shown = {schema.user, schema.item, schema.time, *outcomes.keys(), *outcomes.values()}
    shown |= {column for column in (schema.request, schema.weight) if column is not None}
    needed: dict[str, set[str]] = {EXPOSURES: shown}
    if schema.attributed:
        needed[EVENTS] = {schema.user, schema.item, schema.time, EVENT_TYPE}
    for name, sequence in schema.sequences.items():
        columns = needed.setdefault(sequence.table, {schema.user})
        columns |= {*schema.known_at_columns(name), schema.time_column(name)}
        if sequence.type is not None:
            columns.add(EVENT_TYPE)
    given = {name: f for name, f in schema.features.items() if f.kind != "cross"}
    for name, feature in given.items():
        column = schema.column(name)
        if feature.source is not None:
            key = schema.item if feature.source == "items" else schema.user
            needed.setdefault(feature.source, {key}).add(column)
            if feature.source in schema.as_of:
                needed[feature.source].add(schema.as_of[feature.source])
        for table in tables_of(schema, name):
            if feature.source == "items":
                needed[table].add(schema.item)
            elif feature.source is None:
                needed[table].add(column)
            if feature.as_of:
                needed[table].add(feature.as_of)
    return {table: sorted(columns) for table, columns in needed.items()}


def tables_of(schema: Schema, feature: str) -> set[str]:
    """The tables of whose rows the tokens of a feature are made."""
    return {
        schema.sequences[token].table if token in schema.sequences else EXPOSURES
        for token in schema.features[feature].tokens
    }


def check_columns(log: Log, schema: Schema) -> None:
    """Every file there, with every column, and of what was shown (to whom) at least a row. Reads
    metadata only. Raises DataError."""
    for table, columns in tables_needed(schema).items():
        files = log.files(table)
        for file in files:
            present = log.columns_of(file).names
            for column in columns:
                if present.count(column) != 1:
                    found = f"column {column!r} is there {present.count(column)} times"
                    if column not in present:
                        found = f"no column {column!r}, which the schema names"
                    raise DataError(f"{file}: {found}; it has {', '.join(present)}")
        # Where nobody did anything, that was a quiet day.
        must_have_rows = table in (EXPOSURES, "items", "users")
        if must_have_rows and sum(log.rows_of(file) for file in files) == 0:
            raise DataError(f"{files[0]}: {table} is empty; expected at least one row")
    _check_keys(log, schema)


def _check_keys(log: Log, schema: Schema) -> None:
    needed = tables_needed(schema)
    types = {table: types_of(log, table, columns) for table, columns in needed.items()}
    for table in needed:
        for key in set(keys_of(schema, table)) - {schema.request}:
            shown, joined = (id_type(types[t].field(key).type) for t in (EXPOSURES, table))
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


def id_types_of(log: Log, schema: Schema, types: Mapping[str, pa.Schema]) -> IdTypes:
    """What the ids of every feature are. types: of every table, as `types_of`. Raises DataError
    where tables of one feature differ."""
    found = IdTypes()
    for name, feature in schema.features.items():
        if feature.kind in ("id", "ids"):
            column = schema.column(name)
            for table in {feature.source} if feature.source else sorted(tables_of(schema, name)):
                kind = id_type(types[table].field(column).type)
                if found.setdefault(name, kind) != kind:
                    raise DataError(
                        f"{log.files(table)[0]}: column {column!r}: its ids are of type {kind}, "
                        f"those of other tables of feature {name!r} {found[name]}: they would "
                        "never meet"
                    )
    return found


def keys_of(schema: Schema, table: str) -> list[str]:
    """The columns of a table that say whose rows they are: of users and items one, of others
    the user and, where the schema needs it there, the item; of exposures the request too."""
    of = {"users": [schema.user], "items": [schema.item]}.get(table, [schema.user, schema.item])
    of += [schema.request] if table == EXPOSURES and schema.request is not None else []
    return [key for key in of if key in tables_needed(schema)[table]]


def times_of(schema: Schema, table: str) -> set[str]:
    """The columns of a table that hold times."""
    times: set[str] = set()
    for name, sequence in schema.sequences.items():
        if sequence.table == table:
            times |= {schema.time_column(name), *schema.known_at_columns(name)}
    if table == EXPOSURES:
        times |= {schema.time, *schema.outcome_known_at.values()}
        times |= {feature.as_of for feature in schema.features.values() if feature.as_of}
    if table == EVENTS and schema.attributed:
        times.add(schema.time)
    if table in ("items", "users") and table in schema.as_of:
        times.add(schema.as_of[table])
    return times


def happened_columns(schema: Schema, table: str) -> set[str]:
    """The columns of a table that say when its rows happened: those of its sequences, and `time`.
    None of what is joined."""
    if table in ("items", "users"):
        return set()
    times = {schema.time_column(n) for n, s in schema.sequences.items() if s.table == table}
    return times | ({schema.time} & times_of(schema, table))


def types_used(schema: Schema, table: str) -> set[str]:
    """The types by which tasks and sequences tell a table's rows apart."""
    used = {s.type for s in schema.sequences.values() if s.table == table and s.type is not None}
    if table == EVENTS:
        used |= {task.event for task in schema.tasks.values() if task.event is not None}
    return used


def check_types(schema: Schema, counts: Mapping[str, Mapping[str, int]], where: str) -> None:
    """counts: table -> type -> rows, over all files. Raises DataError for a type that the schema
    names and no row has, where there are rows at all: most likely it is written otherwise."""
    for table, found in counts.items():
        for wanted in sorted(types_used(schema, table) - found.keys()):
            if found:
                raise DataError(
                    f"{where}: {table}: column {EVENT_TYPE!r}: no row is of type {wanted!r}, which "
                    f"the schema names; there are {', '.join(sorted(found)[:20])}"
                )
