"""Rows that are kept by day: which days are there, which are built next, from which state.

    rows/days.json      the book: partitions, and of each day what its rows are
    rows/state/DAY      what users had done when DAY began (data.state)

A day is closed once the log goes so far beyond it that nothing can come of its exposures any more.
A build begins at a day whose state is there: everything before it is closed. It makes the rows of
all days from there on anew, for what was unknown when they were built may be known by now.
"""

import json
import re
from datetime import date, timedelta
from typing import Any, NamedTuple

from rayrank.data.row_stats import RowStats
from rayrank.errors import DataError
from rayrank.storage import AnyPath, fingerprint, write_whole

BOOK = "days.json"
NEW = "new"


class Span(NamedTuple):
    """Some days in a row."""

    first: date
    last: date

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first} to {self.last}"


class Book(NamedTuple):
    """What is known of the days that are there."""

    partitions: int
    takes_ms: int
    """How long it takes at most until nothing more comes of an exposure."""
    exposures: int
    """In the log when it was last read, for days or not."""
    last_ms: int
    """The time of its last exposure or event then."""
    days: dict[str, RowStats]

    def stats(self) -> RowStats:
        """The facts of all days together."""
        return RowStats.merge([self.days[day] for day in sorted(self.days)])

    def is_of(self, exposures: int, last_ms: int) -> bool:
        """Whether a log of so many exposures that goes so far is the one last read, all of it."""
        there = sum(stats.exposures for stats in self.days.values())
        return (exposures, last_ms) == (self.exposures, self.last_ms) and there == exposures

    def last_day(self) -> date:
        """The last one that is there."""
        return date.fromisoformat(max(self.days))

    def write(self, rows: AnyPath) -> None:
        """Keep it in the folder of the rows."""
        days = {day: stats.to_json() for day, stats in sorted(self.days.items())}
        write_whole(rows / BOOK, json.dumps(self._asdict() | {"days": days}))


def read_book(rows: AnyPath) -> Book | None:
    """The book of rows that are kept by day; None where there is none."""
    if not (rows / BOOK).exists():
        return None
    content: dict[str, Any] = json.loads((rows / BOOK).read_text())
    days = {day: RowStats.from_json(stats) for day, stats in content["days"].items()}
    return Book(**(content | {"days": days}))


def rows_name(rows: AnyPath) -> str:
    """What names the rows in a folder: its version, and where days are added to it, what they are
    now."""
    if not (rows / BOOK).exists():
        return rows.name
    return f"{rows.name}-{fingerprint(json.loads((rows / BOOK).read_text()))}"


def parse_days(text: str, in_log: Span, book: Book | None) -> Span:
    """The days that `2026-11-24`, `2026-11-20..2026-11-24` or `new` mean; new are those after the
    last one that is there. Raises DataError for another text, and for days that the log has not."""
    if text == NEW:
        first = in_log.first if book is None else book.last_day() + timedelta(days=1)
        return Span(min(first, in_log.last), in_log.last)
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d)(?:\.\.(\d{4}-\d\d-\d\d))?", text)
    try:
        parts = [found[1], found[2] or found[1]] if found else []
        days = Span(*map(date.fromisoformat, parts))
    except (TypeError, ValueError):
        days = None
    if days is None or days.first > days.last:
        raise DataError(f"day {text!r}: expected 2026-11-24, 2026-11-20..2026-11-24 or {NEW}")
    if days.first < in_log.first or days.last > in_log.last:
        raise DataError(f"day {text!r}: the log holds {in_log}")
    return days
