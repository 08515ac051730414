"""Rows that are kept by day: a day built alone is the same day of a build of the whole log."""

import random
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rayrank.data.build import build, build_days
from rayrank.data.chunks import chunks_of
from rayrank.data.config import DataConfig
from rayrank.data.days import Span, parse_days, read_book, rows_name
from rayrank.data.log import Log
from rayrank.data.row_files import row_files
from rayrank.data.row_stats import read_stats
from rayrank.data.state import KEPT, states, until
from rayrank.errors import DataError
from rayrank.schema import Schema

from .logs import DAY, HOUR, START, Record, Records, ordered, searched, shop_schema, shown

FIRST = date(2022, 4, 16)  # of START, in Shanghai
DAYS = 5
KEEP = {f"sequences.{name}.keep": 3 for name in ("views", "clicks", "buys", "orders", "searches")}


def week(seed: int) -> Records:
    """A log in which much happens around midnight: requests span it, clicks are known after it,
    orders follow on the next day."""
    rng = random.Random(seed)
    log = Records(
        users=[{"u": user, "city": user % 3, "age": 20 + user} for user in range(5)],
        items=[{"i": item, "cat": item % 4, "tags": [item], "price": 1.0} for item in range(6)],
    )
    times = [rng.randrange(DAYS) * DAY + rng.choice([0, 1, 5, 12, 23]) * HOUR for _ in range(80)]
    for number, hour in enumerate(sorted(times)):
        time = START + hour + rng.randrange(HOUR)
        e = shown(
            rng.randrange(5),
            rng.randrange(6),
            time,
            k=time + rng.randrange(2 * HOUR),
            click=rng.choice([0, 1, 1]),
            watched=rng.randrange(4) / 4,
            ctr=rng.randrange(4) / 4,
            r=number // 3,
        )
        log.exposures.append(e)
        if rng.random() < 0.5:
            log.events.append(ordered(e["u"], e["i"], e["k"] + rng.randrange(2 * HOUR)))
        if rng.random() < 0.3:
            log.searches.append(searched(e["u"], number % 4, time, rng.randrange(HOUR)))
    return log


def until_end_of(log: Records, day: int) -> Records:
    """What a log of so many days knows."""
    end = START + (day + 1) * DAY
    exposures = [
        e | {"click": e["click"] if e["k"] < end else None} for e in log.exposures if e["t"] < end
    ]
    searches = [s for s in log.searches if s["at"] < end]
    events = [e for e in log.events if e["t"] < end]
    return Records(exposures, events, log.users, log.items, searches)


def write(folder: Path, log: Records) -> Log:
    """A file of every day, so that a later day's build need not read all of them."""
    for name, time in (("exposures", "t"), ("events", "t"), ("searches", "at")):
        table = log.table(name)
        day = (table[time].to_numpy() - START) // DAY
        (folder / name).mkdir(parents=True)
        for number in range(DAYS):
            mine = table.filter(pa.array(day == number))
            pq.write_table(mine, folder / name / f"day-{number}.parquet")
    for name in ("items", "users"):
        pq.write_table(log.table(name), folder / f"{name}.parquet")
    return Log(str(folder))


def config(split: Record | None = None, partitions: int = 2) -> DataConfig:
    content = {"source": "parquet", "path": "unused", "partitions": partitions}
    return DataConfig.model_validate(content | {"split": split or {"test": "2022-04-20"}})


def days(log: Log, schema: Schema, out: Path, wanted: str) -> Span | None:
    return build_days(log, schema, out, config(), wanted, lambda done, of: None)


def contents(rows: Path) -> dict[str, bytes]:
    splits = [rows / split for split in ("train", "valid", "test")]
    return {
        str(file)[len(str(rows)) + 1 :]: file.read_bytes()
        for split in splits
        for file in row_files(split)
    }


@pytest.mark.parametrize("request_column", [None, "r"])
@pytest.mark.parametrize("seed", range(3))
def test_a_day_built_alone_is_that_day_of_a_whole_build(
    ray_cluster: None, tmp_path: Path, seed: int, request_column: str | None
) -> None:
    """The log grows by a day, and each day's build reads that and the state before it."""
    schema, log = shop_schema(KEEP | {"request": request_column}), week(seed)
    for day in range(DAYS):
        grown = write(tmp_path / f"log-{day}", until_end_of(log, day))
        span = days(grown, schema, tmp_path / "rows", "new")
        assert span is not None
        assert span.last == date(2022, 4, 16 + day)
        # What was open yesterday: that day and the one before.
        assert span.first >= date(2022, 4, 16 + max(day - 2, 0))
    assert days(grown, schema, tmp_path / "rows", "new") is None  # nothing new
    whole = build(grown, schema, tmp_path / "whole", config(), lambda *_: None)
    assert contents(tmp_path / "rows") == contents(tmp_path / "whole")
    assert len(contents(tmp_path / "rows")) > DAYS
    assert read_stats(tmp_path / "rows") == whole == read_stats(tmp_path / "whole")
    assert len(states(tmp_path / "rows")) == KEPT


def test_what_is_over_is_not_read(tmp_path: Path) -> None:
    schema, log = shop_schema(KEEP), write(tmp_path, week(1))
    since = START + 3 * DAY
    read = {(c.table, Path(c.file).stem) for c in chunks_of(log, schema, since)}
    for table in ("exposures", "events", "searches"):
        assert {file for name, file in read if name == table} == {"day-3", "day-4"}
    assert {name for name, _ in read} >= {"users", "items"}
    assert {Path(c.file).stem for c in chunks_of(log, schema, None)} >= {"day-0", "day-1"}


def test_days_of_the_past_and_days_at_once(ray_cluster: None, tmp_path: Path) -> None:
    schema, log = shop_schema(KEEP), write(tmp_path / "log", week(9))
    rows = tmp_path / "rows"
    build(log, schema, tmp_path / "whole", config(), lambda *_: None)
    whole = contents(tmp_path / "whole")
    assert days(log, schema, rows, "2022-04-16..2022-04-18") == Span(FIRST, date(2022, 4, 18))
    assert contents(rows) == {name: data for name, data in whole.items() if day_in(name) <= "18"}
    book = read_book(rows)
    assert book is not None
    assert sorted(book.days) == [f"2022-04-{day}" for day in (16, 17, 18)]
    # The state of the 19th is there; the 20th needs the 19th too.
    assert days(log, schema, rows, "2022-04-20") == Span(date(2022, 4, 19), date(2022, 4, 20))
    assert contents(rows) == whole
    # No state is as old as that: from the beginning.
    name = rows_name(rows)
    assert days(log, schema, rows, "2022-04-17") == Span(FIRST, date(2022, 4, 17))
    assert contents(rows) == whole
    assert rows_name(rows) == name


def day_in(name: str) -> str:
    """17 of train/2022-04-17/part-00000.parquet."""
    return name.split("/")[1][-2:]


def test_rows_have_another_name_once_days_are_added(ray_cluster: None, tmp_path: Path) -> None:
    schema, log = shop_schema(KEEP), write(tmp_path / "log", week(2))
    days(log, schema, tmp_path / "rows", "2022-04-16..2022-04-18")
    before = rows_name(tmp_path / "rows")
    assert before.startswith("rows-")
    days(log, schema, tmp_path / "rows", "2022-04-19")
    assert rows_name(tmp_path / "rows") != before
    assert rows_name(tmp_path) == tmp_path.name  # all at once: the version says it all


def test_a_day_that_was_cut_is_no_day(ray_cluster: None, tmp_path: Path) -> None:
    """Written, but not in the book: what a killed build leaves."""
    schema, log = shop_schema(KEEP), write(tmp_path / "log", week(3))
    days(log, schema, tmp_path / "rows", "2022-04-16..2022-04-17")
    whole = contents(tmp_path / "rows")
    half = tmp_path / "rows" / "train" / "2022-04-18" / "part-00000.parquet"
    half.parent.mkdir()
    half.write_bytes(b"half of it")
    writing = half.with_name(".part-00001.parquet.writing-0a1b2c3d")
    writing.write_bytes(b"less than half")
    assert contents(tmp_path / "rows") == whole
    days(log, schema, tmp_path / "rows", "2022-04-18")
    assert half.read_bytes() != b"half of it"
    assert not writing.exists()


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("2022-04-15", "the log holds 2022-04-16 to 2022-04-20"),
        ("2022-04-20..2022-04-21", "the log holds 2022-04-16 to 2022-04-20"),
        ("2022-04-19..2022-04-18", "expected 2026-11-24, 2026-11-20..2026-11-24 or new"),
        ("yesterday", "expected 2026-11-24, 2026-11-20..2026-11-24 or new"),
        ("2022-02-30", "expected 2026-11-24, 2026-11-20..2026-11-24 or new"),
    ],
)
def test_days_that_there_are_not(wanted: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as raised:
        parse_days(wanted, Span(FIRST, date(2022, 4, 20)), None)
    assert wanted in str(raised.value)


def test_shares_would_move_with_every_day(ray_cluster: None, tmp_path: Path) -> None:
    log = write(tmp_path / "log", week(0))
    shares = config({"test": 0.2})
    with pytest.raises(DataError, match=r"set data\.split\.test .* to a date, or to 0"):
        build_days(log, shop_schema(), tmp_path / "rows", shares, "new", lambda *_: None)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"valid": "2022-04-18"}, "valid is a date, so test must be one"),
        ({"valid": 0.1, "test": "2022-04-18"}, "test is a date, so valid must be one, or 0"),
        ({"valid": "2022-04-19", "test": "2022-04-18"}, "valid starts after test"),
    ],
)
def test_splits_that_contradict_themselves(split: Record, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config(split)


BEHAVED = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 9), st.integers(0, 9)).map(
        lambda b: (b[0], b[1], b[1] + b[2])
    ),
    max_size=30,
)


@given(BEHAVED, st.integers(0, 12), st.integers(1, 4))
def test_a_state_holds_what_a_later_row_can_keep(
    behaved: list[tuple[int, int, int]], start: int, keep: int
) -> None:
    columns = zip(*behaved, strict=True) if behaved else ([], [], [])
    named = zip(("user", "time", "known_at"), columns, strict=True)
    table = pa.table({name: pa.array(np.array(column, np.int64)) for name, column in named})
    kept = until(table, start, keep)
    found = set(zip(*(kept[name].to_pylist() for name in kept.column_names), strict=True))
    before = [b for b in behaved if b[1] < start]
    for window in range(start, 20):
        for user in range(3):
            # By when it was known, then when it happened.
            known = sorted(
                (b for b in before if b[0] == user and b[2] < window), key=lambda b: (b[2], b[1])
            )
            assert {*known[-keep:]} <= found
    assert len(kept) <= 3 * keep + sum(known >= start for _, _, known in before)
    assert all(b in before for b in found)
