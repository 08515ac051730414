"""Several days of daily training one after the other, and days to come."""

import threading
import time
from collections.abc import Iterator
from datetime import date, timedelta

from rayrank.data.build import reach
from rayrank.data.days import NEW, Span, parse_days
from rayrank.data.log import Log, tables_needed
from rayrank.data.source import prepare_log
from rayrank.errors import ConfigError, DataError
from rayrank.report.daily import DayPoint, daily_picture
from rayrank.run.daily import learn_day
from rayrank.run.daily_outcome import DayOutcome, Decided, days_table, read_decided, told_gates
from rayrank.run.run import Run
from rayrank.run.terminal import console, say
from rayrank.schema import Schema
from rayrank.storage import write_whole

AGAIN_S = 600.0
"""While watching, what is waited for is said so often at least."""


def learn_days(run: Run, name: str, wanted: str, *, again: bool = False) -> list[DayOutcome]:
    """Decide on days in their order: `2026-11-24`, `2026-11-20..2026-11-24`, or `new`: those after
    the last one that was decided on, as far as they are over. What came of each, those that were
    decided on before too.

    A refused day is passed over, and the rest goes on; again: one that was refused before is tried
    once more. Writes the picture. Raises DataError for days that the log has not, ConfigError for
    days before the last accepted one that were not decided on.
    """
    log, schema = prepare_log(run.config.data, run.folder.log, new=run.new)
    days = _days(run, name, wanted, log, schema)
    if days is None:
        return []
    found = []
    for day in _each(days):
        outcome = read_decided(run, name).of(day)
        if outcome is not None and (outcome.accepted or not again):
            say(f"{day}: {'accepted' if outcome.accepted else 'refused'} already")
            if not outcome.accepted:
                for line in told_gates(outcome):
                    say(line)
                say(f"{day}: once its data is mended, --again tries it once more")
        else:
            outcome = learn_day(run, name, day)
            _draw(run, name)
        found.append(outcome)
    console.print(days_table(found))
    say(f"days     {run.folder.days(name)}\npicture  {run.folder.days_picture(name)}")
    return found


def watch_days(run: Run, name: str, every_s: float, stop: threading.Event) -> list[DayOutcome]:
    """Decide on days as they come to the log's folder, looking every so many seconds, until `stop`;
    what came of them. Says what it waits for. Raises ConfigError for a log that does not grow."""
    if run.config.data.source != "parquet":
        raise ConfigError(f"--watch: a {run.config.data.source} log does not grow; use --day")
    found: list[DayOutcome] = []
    seen: dict[str, tuple[int, int]] | None = None
    waiting, said, said_at = "", "", 0.0
    while not stop.is_set():
        try:
            log, schema = prepare_log(run.config.data, run.folder.log, new=run.new)
            there = log.listing(tables_needed(schema))
            if there != seen:
                found += learn_days(run, name, NEW)
                seen, waiting = there, _waits_for(run, name, log, schema, every_s)
            waits = waiting
        except DataError as error:
            # Perhaps a file that is being written.
            waits = f"{error}\nlooking again every {every_s:g} s"
        if waits != said or time.monotonic() - said_at > AGAIN_S:
            say(waits)
            said, said_at = waits, time.monotonic()
        stop.wait(every_s)
    return found


def _waits_for(run: Run, name: str, log: Log, schema: Schema, every_s: float) -> str:
    whole = reach(log, schema, run.config.data).whole
    last = read_decided(run, name).last()
    day = whole + timedelta(days=1) if last is None else last + timedelta(days=1)
    return (
        f"waiting for {day} to be over: the log ({log.root}) is whole until {whole}; looking every "
        f"{every_s:g} s"
    )


def _each(days: Span) -> Iterator[date]:
    for number in range((days.last - days.first).days + 1):
        yield days.first + timedelta(days=number)


def _days(run: Run, name: str, wanted: str, log: Log, schema: Schema) -> Span | None:
    """The days that are meant; None where nothing is new."""
    there = reach(log, schema, run.config.data)
    decided = read_decided(run, name)
    if wanted == NEW:
        last = decided.last()
        first = there.days.first if last is None else last + timedelta(days=1)
        if first > there.whole:
            say(f"nothing new: the log is whole until {there.whole}, all decided on")
            return None
        return Span(first, there.whole)
    days = parse_days(wanted, there.days, None)
    if days.last > there.whole:
        say(
            f"{days.last} is under way as far as the log tells: what comes later of it, no model "
            "will learn"
        )
    _demand_order(name, days, decided)
    return days


def _demand_order(name: str, days: Span, decided: Decided) -> None:
    last = decided.last_accepted()
    for day in _each(days):
        if last is not None and day < last and decided.of(day) is None:
            raise ConfigError(
                f"{day}: {name} has learned from {last} already, and goes on with later days only"
            )


def _draw(run: Run, name: str) -> None:
    outcomes = read_decided(run, name).outcomes
    points = [
        DayPoint(
            day=outcome.day,
            accepted=outcome.accepted,
            before={
                task: of.metrics["auc"]
                for task, of in outcome.measure.items()
                if "auc" in of.metrics
            },
            gained={
                of.task: of.found
                for gate in outcome.gates
                if (of := gate.compared) is not None
                and (gate.name, of.metric, of.day) == ("quality", "auc", outcome.day)
            },
        )
        for outcome in outcomes
    ]
    margin = run.config.daily.gates.quality
    drawn = daily_picture(f"{name}, day by day", points, margin)
    write_whole(run.folder.days_picture(name), drawn)
