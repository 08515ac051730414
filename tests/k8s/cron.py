"""Schedules as cron reads them: five fields, and a time zone that is known."""

import zoneinfo
from functools import cache
from typing import Any

_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def schedule_faults(spec: Any, where: str = "$.spec") -> list[str]:
    """Of a CronJob's or a RayCronJob's `schedule` and `timeZone`."""
    schedule, zone = spec.get("schedule", ""), spec.get("timeZone")
    found = []
    if "TZ" in schedule or not _is_schedule(schedule):
        found.append(f"{where}.schedule: {schedule!r} is not a schedule")
    if zone is not None and zone not in time_zones():
        found.append(f"{where}.timeZone: {zone!r} is not a time zone")
    return found


@cache
def time_zones() -> set[str]:
    return zoneinfo.available_timezones()


def _is_schedule(text: str) -> bool:
    fields = text.split()
    return len(fields) == len(_BOUNDS) and all(
        _is_field(field, *bounds) for field, bounds in zip(fields, _BOUNDS, strict=True)
    )


def _is_field(text: str, least: int, most: int) -> bool:
    """`*`, `5`, `1-5`, `*/10`, or some of them with commas between."""
    for part in text.split(","):
        span, slash, step = part.partition("/")
        if slash and not (step.isdecimal() and int(step) > 0):
            return False
        ends = [] if span == "*" else span.split("-")
        if len(ends) > 2 or not all(end.isdecimal() for end in ends):
            return False
        numbers = [int(end) for end in ends]
        if numbers != sorted(numbers) or not all(least <= n <= most for n in numbers):
            return False
    return True
