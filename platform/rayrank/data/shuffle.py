"""One shuffle by user on Ray, then whole partitions of users.

Each chunk of the log is read once, by a task that checks and encodes its values and deals its rows
to the partitions of their users; then a task for each partition, in which everything about a user
meets, makes that partition's rows. Items are small and go to every one. What a task is given comes
in the log's order, so the same log makes the same rows.
"""

import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import ray

from rayrank.data.chunks import SMALLER_ROW_GROUPS, Chunk
from rayrank.data.encode import encode, lists_cut
from rayrank.data.ids import IdTypes
from rayrank.data.joined import Joined, JoinTable
from rayrank.data.log import Log, id_types_of, tables_needed, types_of
from rayrank.data.mixing import mix
from rayrank.data.partition import Cuts, group_users
from rayrank.data.prepare import features_in, ids, ms, prepare
from rayrank.data.row_files import by_day, file_order, remove_parts, write_day
from rayrank.data.row_stats import RowStats, row_stats
from rayrank.data.state import read_state, write_state
from rayrank.data.tasks import task, values_of
from rayrank.data.times import day_of, start_ms
from rayrank.errors import DataError
from rayrank.schema import EXPOSURES, Schema
from rayrank.storage import AnyPath
from rayrank.watch import Watch


@dataclass(frozen=True)
class Days:
    """Of rows that are kept by day: which are made, from what."""

    first: date
    last: date
    state: date | None
    """The day before which everything is in a state; None where the log has all of it."""


@dataclass(frozen=True)
class Work:
    """What is made from what."""

    log: Log
    schema: Schema
    out: AnyPath
    chunks: list[Chunk]
    partitions: int
    cuts: Cuts
    days: Days | None = None


@dataclass(frozen=True)
class Made:
    """What came of it."""

    stats: dict[str, RowStats]
    """Of each day's rows."""
    takes_ms: int
    """How long it takes at most until nothing more comes of an exposure."""
    state: date | None
    """The day whose state was written, all parts of it; None where none was."""
    events: dict[str, tuple[int, int]]
    """Of tasks that follow from events: how many were read, how many of them belong to an
    exposure."""
    lists_cut: Counter[str]
    """Feature -> lists that were cut to its limit."""
    bytes: int
    """Of the files of rows."""
    seconds: dict[str, float]
    """Of `read` and `write`."""


class Read(NamedTuple):
    """What is known of a chunk once it was read."""

    delay_ms: int = 0
    """How long outcomes took to be known, the most."""
    lists_cut: Counter[str] = Counter()
    """Feature -> lists that were cut to its limit."""


class Written(NamedTuple):
    """What is known of a partition once its rows are written."""

    days: dict[str, RowStats]
    events: dict[str, tuple[int, int]]
    bytes: int


def make_rows(work: Work, watch: Watch) -> Made:
    """Write the rows of all partitions, and where they are kept by day the state that the next
    build begins with."""
    needed = tables_needed(work.schema)
    types = {table: types_of(work.log, table, columns) for table, columns in needed.items()}
    id_types = id_types_of(work.log, work.schema, types)
    shared = ray.put((work, types))
    done, begun = 0, time.perf_counter()

    def step() -> None:
        nonlocal done
        done += 1
        watch(done, len(work.chunks) + work.partitions)

    dealt = [chunk for chunk in work.chunks if chunk.table != "items"]
    sent = [
        task(_deal, f"read {chunk.table}", 1 + work.partitions).remote(shared, chunk)
        for chunk in dealt
    ]
    of_items = [chunk for chunk in work.chunks if chunk.table == "items"]
    items = [task(_read, "read items", 2).remote(shared, chunk) for chunk in of_items]
    delay_ms, lists_cut = 0, Counter[str]()
    for read in values_of([first for first, *_ in (*sent, *items)], SMALLER_ROW_GROUPS):
        delay_ms = max(delay_ms, read.delay_ms)
        lists_cut += read.lists_cut
        step()
    have_read = time.perf_counter()
    join = task(_join_items, "sort items").remote(shared, *(part for _, part in items))
    takes_ms = delay_ms + sum(
        int(of.within.total_seconds() * 1000) for of in work.schema.tasks.values() if of.within
    )
    ends = None if work.days is None else _state_to_write(work, work.days, takes_ms)
    told = ray.put((id_types, ends, [chunk.table for chunk in dealt]))
    made = [
        task(_make_rows, "user rows").remote(
            shared, told, number, join, *(parts[number] for _, *parts in sent)
        )
        for number in range(work.partitions)
    ]
    del sent  # a part can go once its partition is made
    stats: dict[str, list[RowStats]] = defaultdict(list)
    events: dict[str, tuple[int, int]] = {}
    size = 0
    for written in values_of(made, f"raise data.partitions (now {work.partitions})"):
        for day, of_day in written.days.items():
            stats[day].append(of_day)
        for name, (there, belong) in written.events.items():
            before = events.get(name, (0, 0))
            events[name] = (before[0] + there, before[1] + belong)
        size += written.bytes
        step()
    of_days = {day: RowStats.merge(parts) for day, parts in stats.items()}
    seconds = {"read": have_read - begun, "write": time.perf_counter() - have_read}
    return Made(of_days, takes_ms, ends, events, lists_cut, size, seconds)


Shared = tuple[Work, dict[str, pa.Schema]]
"""The work, and the type of every column by table: what every task is told."""


def _read(shared: Shared, chunk: Chunk) -> tuple[Read, pa.Table]:
    """A chunk, prepared."""
    work, types = shared
    schema, wanted = work.schema, types[chunk.table]
    raw = (
        work.log.read_file(chunk.file, wanted.names, chunk.row_groups)
        .select(wanted.names)
        .cast(wanted)
    )
    rows = prepare(raw, schema, chunk.table, encode, str(chunk))
    delay = 0
    if chunk.table == EXPOSURES and len(rows):
        for column in set(schema.outcome_known_at.values()):
            delay = max(delay, int((ms(rows, column) - ms(rows, schema.time)).max()))
    cut = {
        name: lists_cut(raw[schema.column(name)], feature)
        for name, feature in features_in(schema, chunk.table).items()
        if feature.kind == "ids"
    }
    return Read(delay, Counter(cut)), rows


def _deal(shared: Shared, chunk: Chunk) -> tuple[Any, ...]:
    """A chunk in parts for the partitions of its users."""
    (read, rows), partitions = _read(shared, chunk), shared[0].partitions
    of = (mix(ids(rows, "user").view(np.uint64)) % np.uint64(partitions)).astype(np.int64)
    order = np.argsort(of, kind="stable")
    ends = np.cumsum(np.bincount(of, minlength=partitions))
    return read, *(rows.take(pa.array(part)) for part in np.split(order, ends[:-1]))


def _join_items(shared: Shared, *parts: pa.Table) -> JoinTable | None:
    work, _ = shared
    if not parts:
        return None
    where = work.log.files("items")[0]
    return JoinTable.of(pa.concat_tables(parts), work.schema, "items", where)


def _make_rows(
    shared: Shared,
    told: tuple[IdTypes, date | None, list[str]],
    number: int,
    items: JoinTable | DataError | None,
    *parts: pa.Table,
) -> Written:
    """Write the rows of a partition."""
    work, types = shared
    id_types, ends, names = told
    schema, part = work.schema, f"part-{number:05d}"
    if isinstance(items, DataError):
        raise items
    none = {table: _none(schema, table, types[table]) for table in types if table != "items"}
    tables = {
        name: pa.concat_tables(
            [none[name], *(p for n, p in zip(names, parts, strict=True) if n == name)]
        )
        for name in none
    }
    joined: dict[Joined, JoinTable] = {} if items is None else {"items": items}
    if "users" in tables:
        joined["users"] = JoinTable.of(tables.pop("users"), schema, "users", "users")
    state = None if work.days is None else work.days.state
    earlier = None if state is None else read_state(work.out, state, part, schema)
    built = group_users(tables, joined, schema, work.cuts, encode, earlier, file_order)
    facts, size = {}, 0
    for day, rows in by_day(built, schema).items():
        size += write_day(rows, work.out, day, part)
        facts[day] = row_stats(rows, schema, work.cuts, id_types)
    if work.days is not None:
        for day in _each(work.days):
            remove_parts(work.out, day, part, facts.get(day))
    if ends is not None:
        write_state(built.behaviours, schema, work.out, ends, start_ms(ends, schema.timezone), part)
    return Written(facts, built.events, size)


def _none(schema: Schema, table: str, types: pa.Schema) -> pa.Table:
    """No rows of a table, prepared: what a partition has of it of which it was given nothing."""
    return prepare(types.empty_table(), schema, table, encode, table)


def _each(days: Days) -> list[str]:
    return [str(days.first + timedelta(n)) for n in range((days.last - days.first).days + 1)]


def _state_to_write(work: Work, days: Days, takes_ms: int) -> date | None:
    """The last day, the one after those that are made at most, before which everything is known:
    of whose exposures nothing more can come. None where that is the state begun with."""
    known = day_of(work.cuts.complete_until - takes_ms, work.schema.timezone)
    closed = min(known, days.last + timedelta(days=1))
    return closed if closed > (days.state or days.first) else None
