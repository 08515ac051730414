"""Building user rows from a log: all of them, or some days."""

import json
import time
from collections.abc import Callable
from datetime import date, timedelta
from typing import NamedTuple

from rayrank.data.chunks import Chunk, chunks_of
from rayrank.data.config import DataConfig, SplitConfig
from rayrank.data.days import NEW, Book, Span, parse_days, read_book
from rayrank.data.ids import IdTypes
from rayrank.data.log import (
    Log,
    check_columns,
    id_types_of,
    tables_needed,
    tables_of,
    types_of,
)
from rayrank.data.partition import Cuts
from rayrank.data.row_files import SPLITS
from rayrank.data.row_stats import STATS, TRAIN, RowStats
from rayrank.data.shuffle import Days, Made, Work, make_rows
from rayrank.data.state import finish_state, states
from rayrank.data.survey import Survey, survey
from rayrank.data.times import day_of, end_ms, start_ms
from rayrank.data.told import tell_build
from rayrank.errors import DataError
from rayrank.schema import Schema
from rayrank.storage import AnyPath, absolute, files_in, remove_folder, write_whole
from rayrank.versions import MadeFrom
from rayrank.watch import Watch

Say = Callable[[str], object]
"""Takes a line for the user."""
FORMAT = 4
"""Of the user rows; raised when the same log would give others."""
PARTITION_BYTES = 64 << 20
"""Of the log's columns that a partition of users holds, where nothing is said."""
FEWEST_PARTITIONS = 4
REQUEST_MS = 86_400_000
"""How long a request may last: what was asked for before midnight and shown after it belongs
together."""


def build(
    log: Log, schema: Schema, out: AnyPath, config: DataConfig, watch: Watch, say: Say = print
) -> RowStats:
    """Check the log, then write `out/{train,valid,test}/DAY/*.parquet` and, last, `out/stats.json`.

    Every exposure of the log becomes exactly one candidate. Raises DataError or LeakageError,
    naming file or table, column and user; no rows are then left in `out`.
    """
    out = absolute(out)
    _remove_rows(out)  # of a build that was cut
    check_columns(log, schema)
    begun, chunks = time.perf_counter(), chunks_of(log, schema)
    found = survey(log, schema, chunks, config.split)
    look_s = time.perf_counter() - begun
    cuts = Cuts(found.split_times_ms, _complete_until(config, found))
    partitions = config.partitions or partitions_for(chunks)
    try:
        made = make_rows(Work(log, schema, out, chunks, partitions, cuts), watch)
        stats = RowStats.merge([made.stats[day] for day in sorted(made.stats)])
        _check_all_came_out(stats, found, log)
        _check(stats, log)
    except BaseException:
        _remove_rows(out)
        raise
    write_whole(out / STATS, json.dumps(stats.to_json(), indent=1))
    _tell(made, say)
    tell_build(out.name, chunks, look_s, made)
    return stats


def build_days(
    log: Log,
    schema: Schema,
    out: AnyPath,
    config: DataConfig,
    wanted: str,
    watch: Watch,
    say: Say = print,
) -> Span | None:
    """Build some days' rows (`parse_days` says how they are wanted), from the log of these days and
    what users did before; returns which were built, None where nothing is new.

    They begin with the last day before which everything was known, so that rows whose labels have
    become known since are written anew. Each day's rows are those that a build of the whole log
    makes, byte for byte with the same partitions. Raises DataError and LeakageError as `build`, and
    leaves the days that were there as they are.
    """
    out = absolute(out)
    for left in files_in(out, "**/.*.writing-*"):  # by a build that was cut
        left.unlink()
    check_columns(log, schema)
    if not config.split.by_date():
        raise DataError(
            "rows that are kept by day are split by date, as shares would move with every day: set "
            "data.split.test (and data.split.valid) to a date, or to 0"
        )
    begun, chunks = time.perf_counter(), chunks_of(log, schema)
    found, zone = survey(log, schema, chunks, config.split), schema.timezone
    look_s = time.perf_counter() - begun
    in_log = Span(day_of(found.first_ms, zone), day_of(found.last_exposure_ms, zone))
    book = read_book(out)
    if wanted == NEW and book is not None and book.is_of(found.exposures, found.last_ms):
        return None
    days = parse_days(wanted, in_log, book)
    state = max((day for day in states(out) if day <= days.first), default=None)
    span = Span(in_log.first if state is None else state, days.last)
    since = None if state is None else start_ms(state, zone)
    if since is not None and book is not None:
        # What came before may still take part: in a request, or in whose event it was.
        chunks = chunks_of(log, schema, since - max(REQUEST_MS, book.takes_ms))
    cuts = Cuts(
        found.split_times_ms, _complete_until(config, found), since, end_ms(span.last, zone)
    )
    partitions = config.partitions or partitions_for(chunks) if book is None else book.partitions
    work = Work(log, schema, out, chunks, partitions, cuts, Days(*span, state))
    made = make_rows(work, watch)
    if made.state is not None:
        finish_state(out, made.state)
    kept = {} if book is None else book.days
    takes_ms = max(made.takes_ms, 0 if book is None else book.takes_ms)
    book = Book(partitions, takes_ms, found.exposures, found.last_ms, kept | made.stats)
    _check(book.stats(), log)
    book.write(out)
    write_whole(out / STATS, json.dumps(book.stats().to_json(), indent=1))
    _tell(made, say)
    tell_build(out.name, chunks, look_s, made)
    return span


class Reach(NamedTuple):
    """How far a log goes."""

    days: Span
    """Of its exposures."""
    whole: date
    """The last day after which it goes on, so that nothing more will be shown on it."""


def reach(log: Log, schema: Schema, config: DataConfig) -> Reach:
    """Look at a log's times. Raises DataError as `build`."""
    check_columns(log, schema)
    found, zone = survey(log, schema, chunks_of(log, schema), config.split), schema.timezone
    last = day_of(found.last_exposure_ms, zone)
    under_way = day_of(_complete_until(config, found), zone)
    return Reach(Span(day_of(found.first_ms, zone), last), min(last, under_way - timedelta(days=1)))


def check_to_score(log: Log, schema: Schema, id_types: IdTypes) -> None:
    """What can be seen of a log before rows are made of it, to be scored by a ranker that learned
    ids of these types. Reads metadata only. Raises DataError."""
    check_columns(log, schema)
    types = {table: types_of(log, table, names) for table, names in tables_needed(schema).items()}
    for name, kind in id_types_of(log, schema, types).items():
        if kind != id_types.get(name, kind):
            table = schema.features[name].source or min(tables_of(schema, name))
            raise DataError(
                f"{log.files(table)[0]}: column {schema.column(name)!r}: its ids are of type "
                f"{kind}, those that the ranker learned {id_types[name]}: they would never meet"
            )


def build_to_score(
    log: Log, schema: Schema, out: AnyPath, since: date | None, watch: Watch, say: Say = print
) -> RowStats:
    """Write the user rows of a log that `check_to_score` passed to `out/train/DAY/*.parquet`: of
    every exposure, or of those of the days from `since` on, with all that was known before.

    Labels that are not known are null, and there may be no others. Raises DataError and
    LeakageError as `build`, and for days that the log has not.
    """
    out = absolute(out)
    chunks, zone = chunks_of(log, schema), schema.timezone
    found = survey(log, schema, chunks, SplitConfig(valid=0, test=0))
    last = day_of(found.last_exposure_ms, zone)
    if since is not None and since > last:
        raise DataError(f"{log.root}: nothing to score since {since}: its exposures end on {last}")
    since_ms = None if since is None else start_ms(since, zone)
    cuts = Cuts(found.split_times_ms, found.last_ms, since_ms)
    made = make_rows(Work(log, schema, out, chunks, partitions_for(chunks), cuts), watch)
    stats = RowStats.merge([made.stats[day] for day in sorted(made.stats)])
    if since is None:
        _check_all_came_out(stats, found, log)
    _tell(made, say)
    return stats


def rows_made_from(log: Log, schema: Schema, config: DataConfig) -> MadeFrom:
    """What user rows are made from: the content of the tables, the schema, the cuts. Reads the
    whole log; how many partitions it was grouped in changes no row."""
    return {"log": log.fingerprint(tables_needed(schema))} | _cut(schema, config)


def days_made_from(log: Log, schema: Schema, config: DataConfig) -> MadeFrom:
    """What rows that are kept by day are made from: the place of a log that grows, the schema, the
    cuts. Which days there are, their book says."""
    return {"log_by_day": log.root} | _cut(schema, config)


def _cut(schema: Schema, config: DataConfig) -> MadeFrom:
    told = config.model_dump(mode="json")
    return {
        "schema": schema.of_rows(),
        "split": told["split"],
        "complete_until": told["complete_until"],
        "format": FORMAT,
    }


def partitions_for(chunks: list[Chunk]) -> int:
    """How many partitions of users hold the chunks, at `PARTITION_BYTES` each."""
    return max(FEWEST_PARTITIONS, -(-sum(chunk.bytes for chunk in chunks) // PARTITION_BYTES))


def _remove_rows(out: AnyPath) -> None:
    for split in SPLITS:
        remove_folder(out / split)


def _check_all_came_out(stats: RowStats, found: Survey, log: Log) -> None:
    if stats.exposures != found.exposures:
        raise DataError(
            f"{log.root}: {found.exposures} exposures went in, {stats.exposures} came out; this is "
            "a fault of the builder"
        )


def _check(stats: RowStats, log: Log) -> None:
    if stats.rows_of_split[TRAIN] == 0:
        raise DataError(
            f"{log.root}: no row is left to train on: valid and test take all "
            f"{stats.exposures} exposures; make data.split.valid or data.split.test smaller"
        )
    for name, unknown in stats.unknown.items():
        if unknown == stats.exposures:
            raise DataError(
                f"{log.root}: task {name!r}: not one label is known; the log is complete until "
                f"{stats.complete_until()}"
            )


def _tell(made: Made, say: Say) -> None:
    for name, (there, belong) in made.events.items():
        say(f"{name}: {belong:,} of {there:,} events belong to an exposure")
    for name, lists in made.lists_cut.items():
        if lists:
            say(f"{name}: {lists:,} lists are longer than its limit; their first ids count")


def _complete_until(config: DataConfig, found: Survey) -> int:
    if config.complete_until is None:
        return found.last_ms
    return int(config.complete_until.timestamp() * 1000)
