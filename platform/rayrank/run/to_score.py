"""What a bundle is given to score: user rows as they are, or a raw log, of which they are made."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq

from rayrank.data.build import build_to_score, check_to_score
from rayrank.data.ids import IdTypes
from rayrank.data.log import Log, tables_needed
from rayrank.data.row_files import SPLITS, row_files, row_files_below
from rayrank.data.row_stats import TRAIN
from rayrank.data.user_rows import row_schema
from rayrank.errors import DataError
from rayrank.run.terminal import say, watching
from rayrank.schema import CANDIDATES, Schema
from rayrank.storage import AnyPath, absolute, arrow_place, fingerprint, place, sha256
from rayrank.versions import MadeFrom

TRAINING = {"labels", "labels_known_at", "weight"}
"""Columns that rows need for training alone."""


def columns_to_score(schema: Schema) -> list[str]:
    """The columns of a user row that its scores follow from, and whose they are."""
    names = row_schema(schema, pa.int64(), pa.int64()).names
    return [name for name in names if name not in TRAINING]


@dataclass(frozen=True)
class RowsToScore:
    """The files of user rows below a folder."""

    folder: AnyPath

    @staticmethod
    def at(uri: str) -> "RowsToScore":
        return RowsToScore(absolute(place(uri)))

    def __str__(self) -> str:
        return f"rows {self.folder}"

    def check(self, schema: Schema, id_types: IdTypes) -> None:
        """Raises DataError, naming file and column, for rows that the schema does not make."""
        files = row_files_below(self.folder)
        if not files:
            raise DataError(f"{self.folder}: no user rows; expected Parquet files that build made")
        with ThreadPoolExecutor() as pool:
            found = list(pool.map(_read_columns, files))
        user = found[0].get("user", pa.int64())
        items = found[0].get(f"{CANDIDATES.name}.item", pa.null())
        item = items.value_type if pa.types.is_list(items) else pa.int64()
        wanted = set(columns_to_score(schema))
        expected = dict(_leaves(f for f in row_schema(schema, user, item) if f.name in wanted))
        for file, columns in zip(files, found, strict=True):
            for name, kind in expected.items():
                if name not in columns:
                    raise DataError(
                        f"{file}: no column {name!r}, which the bundle's schema makes; it has "
                        f"{', '.join(columns)}"
                    )
                if columns[name] != kind:
                    raise DataError(
                        f"{file}: column {name!r}: expected {kind}, found {columns[name]}"
                    )

    def made_from(self, schema: Schema) -> MadeFrom:
        """The content of every file, by one fingerprint. Reads all of it."""
        files = row_files_below(self.folder)
        with ThreadPoolExecutor() as pool:
            content = dict(zip(map(str, files), pool.map(sha256, files), strict=True))
        root = len(str(self.folder))
        return {"rows": fingerprint({name[root:]: digest for name, digest in content.items()})}

    def rows(self, schema: Schema, out: AnyPath) -> list[AnyPath]:
        """The files."""
        return row_files_below(self.folder)


@dataclass(frozen=True)
class LogToScore:
    """The exposures of a raw log; of the days from `since` on, where that is said."""

    log: Log
    since: date | None

    @staticmethod
    def at(uri: str, since: date | None) -> "LogToScore":
        return LogToScore(Log(str(absolute(place(uri)))), since)

    def __str__(self) -> str:
        return f"log {self.log.root}" + (f" since {self.since}" if self.since else "")

    def check(self, schema: Schema, id_types: IdTypes) -> None:
        """Raises DataError for tables of other columns, or ids of other types than were learned."""
        check_to_score(self.log, schema, id_types)

    def made_from(self, schema: Schema) -> MadeFrom:
        """The content of the tables, by one fingerprint. Reads all of it."""
        content = fingerprint(self.log.fingerprint(tables_needed(schema)))
        return {"log": content, "since": None if self.since is None else str(self.since)}

    def rows(self, schema: Schema, out: AnyPath) -> list[AnyPath]:
        """The files of the user rows that are made of it, in `out`, on Ray."""
        with watching("building user rows") as watch:
            stats = build_to_score(self.log, schema, out, self.since, watch, say)
        say(f"{stats.exposures:,} exposures -> {stats.rows:,} user rows")
        return row_files(out / SPLITS[TRAIN])


ToScore = RowsToScore | LogToScore


def _read_columns(file: AnyPath) -> dict[str, pa.DataType]:
    filesystem, name = arrow_place(file)
    try:
        return dict(_leaves(pq.read_schema(name, filesystem=filesystem)))
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{file}: not a Parquet file: {error}") from None


def _leaves(fields: Iterable[pa.Field], of: str = "") -> Iterable[tuple[str, pa.DataType]]:
    """Every column and its type, those inside a struct as STRUCT.COLUMN."""
    for field in fields:
        if pa.types.is_struct(field.type):
            yield from _leaves(field.type, f"{of}{field.name}.")
        else:
            yield f"{of}{field.name}", field.type
