"""Files of user rows: `SPLIT/DAY/PART.parquet`, each the rows of one day and some users.

A part's rows stand in an order that looks random, so that neighbours are no sample of one user,
and in row groups of some hundred, which a plan draws from.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rayrank.data.days import read_book
from rayrank.data.mixing import mix
from rayrank.data.parquet import write_parquet
from rayrank.data.partition import UserRows
from rayrank.data.row_stats import RowStats
from rayrank.data.user_rows import starts_of
from rayrank.errors import DataError
from rayrank.schema import Schema
from rayrank.storage import AnyPath, files_in, fingerprint, sha256, writing_file

SPLITS = ("train", "valid", "test")
BLOCK_ROWS = 512
"""Of a row group."""


def row_files(folder: AnyPath) -> list[AnyPath]:
    """The files of a split's folder, by name. Where rows are kept by day, of the days in their
    book: others are those of a build that was cut."""
    files = files_in(folder, "*/*.parquet")
    book = read_book(folder.parent)
    return [file for file in files if book is None or file.parent.name in book.days]


def day_fingerprint(folder: AnyPath, day: str) -> str:
    """12 hex digits that name the content of a split's rows of one day. Reads them. Raises
    DataError where there are none."""
    files = [file for file in row_files(folder) if file.parent.name == day]
    if not files:
        raise DataError(f"{folder}: no user rows of {day}; run jobs/build_rows.py --day {day}")
    return fingerprint({file.name: sha256(file) for file in files})


def row_files_below(folder: AnyPath) -> list[AnyPath]:
    """The files of user rows anywhere below a folder: of a day, a split, a whole build, or laid out
    otherwise. Where rows are kept by day, of the days in their book, as `row_files`."""
    files = files_in(folder, "**/*.parquet")
    for rows in (folder, folder.parent, folder.parent.parent):
        book = read_book(rows)
        if book is not None:
            return [file for file in files if file.parent.name in book.days]
    return files


def days_of(window_start_ms: np.ndarray, schema: Schema) -> np.ndarray:
    """The local date of each window, `2026-11-24`."""
    windows, code = np.unique(window_start_ms, return_inverse=True)
    local = pa.array(windows).cast(pa.timestamp("ms", tz="UTC"))
    names = pc.strftime(local.cast(pa.timestamp("ms", tz=schema.timezone)), "%Y-%m-%d")
    days: np.ndarray = np.array(names.to_pylist(), dtype=object)[code]
    return days


def file_order(user: np.ndarray, window_start_ms: np.ndarray, split: np.ndarray) -> np.ndarray:
    """int64 [rows]: the order in which a part's rows stand: by day, then split, then mixed."""
    mixed = mix(mix(user.view(np.uint64)) + window_start_ms.view(np.uint64))
    return np.lexsort((mixed, split, window_start_ms))


def by_day(built: UserRows, schema: Schema) -> dict[str, UserRows]:
    """The rows of each day, which stand in `file_order`."""
    windows = built.rows["window_start"].to_numpy()
    starts = starts_of(windows)
    days, ends = days_of(windows[starts], schema), [*starts[1:], len(windows)][: len(starts)]
    return {
        day: UserRows(
            built.rows.slice(start, end - start),
            built.split[start:end],
            built.attributed[start:end],
        )
        for day, start, end in zip(days, starts, ends, strict=True)
    }


def remove_parts(out: AnyPath, day: str, part: str, facts: RowStats | None) -> None:
    """Remove what an earlier build wrote to a part of a day, in splits where it has no rows now."""
    for number, split in enumerate(SPLITS):
        if facts is None or facts.rows_of_split[number] == 0:
            (out / split / day / f"{part}.parquet").unlink(missing_ok=True)


def write_day(built: UserRows, out: AnyPath, day: str, part: str) -> int:
    """Write the rows of one day, sorted by split, to a file in each split that they are in; how
    many bytes these have."""
    written = 0
    for number, split in enumerate(SPLITS):
        start, end = np.searchsorted(built.split, [number, number + 1])
        if end > start:
            with writing_file(out / split / day / f"{part}.parquet") as file:
                rows = built.rows.slice(start, end - start)
                write_parquet(rows, file, BLOCK_ROWS)
                written += file.stat().st_size
    return written
