"""Times are int64 milliseconds since 1970 UTC everywhere past the reader."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rayrank.errors import DataError
from rayrank.schema import Schema

MS_PER = {"s": (1000, 1), "ms": (1, 1), "us": (1, 1000)}
# A time outside these years is a wrong unit far more often than it is a time.
EARLIEST_MS = 631_152_000_000  # 1990-01-01
LATEST_MS = 4_102_444_800_000  # 2100-01-01


def to_ms(values: pa.Array, unit: str, where: str, zone: str | None = None) -> pa.Array:
    """Timestamps, or integers in `unit`, as int64 milliseconds. zone: whose clock timestamps that
    carry no time zone are read from.

    Raises DataError, saying `where`, for another type, a timestamp of no zone, a missing time, or a
    time outside 1990 to 2100 (which is what a wrong unit looks like).
    """
    if pa.types.is_timestamp(values.type):
        if values.type.tz is None:
            if zone is None:
                raise DataError(
                    f"{where}: timestamps without a time zone; say whose clock they are read from "
                    "(timestamp_zone: UTC in the schema), or write them with one"
                )
            # Where clocks are set back, the first of two; where forward, the first moment after.
            values = pc.assume_timezone(values, zone, ambiguous="earliest", nonexistent="latest")
        ms = values.cast(pa.timestamp("ms", values.type.tz), safe=False).cast(pa.int64())
    elif pa.types.is_integer(values.type):
        times, by = MS_PER[unit]
        # Unsafe and unchecked: what does not fit is caught below, as outside the years.
        ms = pc.divide(pc.multiply(values.cast(pa.int64(), safe=False), times), by)
    else:
        raise DataError(
            f"{where}: expected a time (a timestamp, or an integer in {unit}), found {values.type}"
        )
    if ms.null_count:
        raise DataError(
            f"{where}: {ms.null_count} missing times, the first in row {_first(ms.is_null())}"
        )
    outside = pc.or_(pc.less(ms, EARLIEST_MS), pc.greater(ms, LATEST_MS))
    if pc.any(outside).as_py():
        row = _first(outside)
        raise DataError(
            f"{where}: row {row} holds {values[row].as_py()!r}, which in {unit} lies outside the "
            f"years 1990 to 2100; is time_unit right?"
        )
    return ms


def column_ms(table: pa.Table, column: str, schema: Schema) -> np.ndarray:
    """A column of times as int64 milliseconds. Raises DataError, as `to_ms`."""
    values, zone = table[column].combine_chunks(), schema.timestamp_zone
    ms: np.ndarray = to_ms(values, schema.time_unit, column, zone).to_numpy()
    return ms


def window_start(time_ms: pa.Array, schema: Schema) -> pa.Array:
    """The local midnight at or before each time, int64 milliseconds: where its window starts."""
    utc = time_ms.cast(pa.timestamp("ms", tz="UTC")).cast(pa.timestamp("ms", tz=schema.timezone))
    midnight = pc.floor_temporal(pc.local_timestamp(utc), unit="day")
    # Where clocks change at midnight: the first of two, or the first moment after a missing one.
    midnight = pc.assume_timezone(
        midnight, schema.timezone, ambiguous="earliest", nonexistent="latest"
    )
    return midnight.cast(pa.int64())


def start_ms(day: date, timezone: str) -> int:
    """int64 ms: the local midnight with which a day starts; its first moment where clocks change
    then."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(timezone))
    # A midnight that clocks leap over is read as after them.
    return round(midnight.timestamp() * 1000)


def end_ms(day: date, timezone: str) -> int:
    """int64 ms: when the next day starts."""
    return start_ms(day + timedelta(days=1), timezone)


def day_of(time_ms: int, timezone: str) -> date:
    """The local date of a time."""
    return datetime.fromtimestamp(time_ms / 1000, ZoneInfo(timezone)).date()


def _first(mask: pa.Array) -> int:
    return int(pc.index(mask, True).as_py())
