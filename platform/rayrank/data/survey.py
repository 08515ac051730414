"""A first look at a log, at its times and types alone: where to cut it, how far it goes."""

from collections import Counter
from collections.abc import Callable
from datetime import date
from typing import NamedTuple

import numpy as np
import ray

from rayrank.data.chunks import SMALLER_ROW_GROUPS, Chunk
from rayrank.data.config import SplitConfig
from rayrank.data.log import EVENT_TYPE, Log, check_types, times_of, types_used
from rayrank.data.partition import OBSERVED
from rayrank.data.prepare import check_type_column
from rayrank.data.tasks import task, values_of
from rayrank.data.times import LATEST_MS, start_ms, to_ms
from rayrank.schema import EXPOSURES, Schema

MINUTE_BITS = 16
"""Times are counted by 65.5 s first; only those around a cut are looked at one by one."""


class Survey(NamedTuple):
    """What was found."""

    exposures: int
    first_ms: int
    """The time of the log's first exposure."""
    last_exposure_ms: int
    last_ms: int
    """The time of the log's last exposure or event."""
    split_times_ms: list[int]
    """When valid and test start, as `Cuts.splits`."""


class _Seen(NamedTuple):
    """Of one chunk."""

    last_ms: int
    minutes: np.ndarray
    """int64 [n]: distinct times of exposures >> MINUTE_BITS, ascending"""
    counts: np.ndarray
    """int64 [n]: how many exposures each has."""
    types: dict[str, int]


def survey(log: Log, schema: Schema, chunks: list[Chunk], split: SplitConfig) -> Survey:
    """Look at the chunks of all tables. Raises DataError for a time or type that does not fit, of
    the first file that has one, and for a type that no row is of."""
    looked = [chunk for chunk in chunks if _to_look_at(schema, chunk.table)]
    sent = [task(_look, f"look at {chunk.table}", 2).remote(log, schema, chunk) for chunk in looked]
    seen = list(values_of([facts for facts, _ in sent], SMALLER_ROW_GROUPS))
    types: dict[str, Counter[str]] = {}
    for chunk, facts in zip(looked, seen, strict=True):
        if types_used(schema, chunk.table):
            types.setdefault(chunk.table, Counter()).update(facts.types)
    check_types(schema, types, log.root)

    minutes = np.concatenate([facts.minutes for facts in seen])
    counts = np.concatenate([facts.counts for facts in seen])
    minutes, code = np.unique(minutes, return_inverse=True)
    until = np.cumsum(np.bincount(code, counts, len(minutes)).astype(np.int64))
    total = int(until[-1])
    between = task(_between, "look around a cut")

    def nth(n: int) -> int:
        """The time of the n-th exposure, from 0; past the last one: nothing belongs there."""
        if n == total:
            return nth(n - 1) + 1
        minute = int(np.searchsorted(until, n, side="right"))
        of = [between.remote(times, int(minutes[minute])) for _, times in sent]
        before = int(until[minute - 1]) if minute else 0
        return int(np.sort(np.concatenate(ray.get(of)))[n - before])

    first, last = nth(0), nth(total - 1)
    return Survey(
        total, first, last, max(facts.last_ms for facts in seen), _cuts(split, schema, total, nth)
    )


def _cuts(split: SplitConfig, schema: Schema, total: int, nth: Callable[[int], int]) -> list[int]:
    """When valid and test start. nth: the time of the n-th of `total` exposures, from 0."""
    if isinstance(split.test, date):
        test = start_ms(split.test, schema.timezone)
        if isinstance(split.valid, date):
            return [start_ms(split.valid, schema.timezone), test]
        return [test, test]
    assert not isinstance(split.valid, date)
    if split.by_date():
        return [LATEST_MS, LATEST_MS]  # whatever the log will hold
    trained = int((1 - split.test) * total)
    return [nth(int((1 - split.valid) * trained)), nth(trained)]


def _to_look_at(schema: Schema, table: str) -> bool:
    return table in OBSERVED or bool(types_used(schema, table))


def _look(log: Log, schema: Schema, chunk: Chunk) -> tuple[_Seen, np.ndarray]:
    """What is in a chunk, and its exposures' times, ascending."""
    table = chunk.table
    timed = table in OBSERVED and schema.time in times_of(schema, table)
    typed = bool(types_used(schema, table))
    columns = [*([schema.time] if timed else []), *([EVENT_TYPE] if typed else [])]
    rows = log.read_file(chunk.file, columns, chunk.row_groups)
    types: Counter[str] = Counter()
    if typed:
        check_type_column(rows[EVENT_TYPE], str(chunk))
        for row in rows[EVENT_TYPE].value_counts().to_pylist():
            types[row["values"]] += row["counts"]
    times = np.empty(0, np.int64)
    if timed:
        where = f"{chunk}: column {schema.time!r}"
        raw, unit, zone = (
            rows[schema.time].combine_chunks(),
            schema.time_unit,
            schema.timestamp_zone,
        )
        times = to_ms(raw, unit, where, zone).to_numpy()
    last = int(times.max()) if len(times) else 0
    times = np.sort(times) if table == EXPOSURES else np.empty(0, np.int64)
    minutes, counts = np.unique(times >> MINUTE_BITS, return_counts=True)
    return _Seen(last, minutes, counts, dict(types)), times


def _between(times: np.ndarray, minute: int) -> np.ndarray:
    ends = np.searchsorted(times, [minute << MINUTE_BITS, (minute + 1) << MINUTE_BITS])
    return times[ends[0] : ends[1]]
