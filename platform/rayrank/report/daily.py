"""Daily training as a picture of its own: how good models were on each day before they learned from
it, and what learning from it brought."""

import math
from collections.abc import Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element

from rayrank.metrics import Estimate
from rayrank.report.charts import LONGEST_NAME, end_names
from rayrank.report.markup import h
from rayrank.report.picture import picture
from rayrank.report.svg import (
    BOTTOM,
    LEFT,
    LETTER,
    LINE,
    TOP,
    WIDTH,
    Axis,
    line,
    span,
    text,
)

STYLES = ("first", "second", "third")
MOST_LABELS = 8
"""Days that are named under the axis."""


class DayPoint(NamedTuple):
    """A day that was decided on. AUCs by task; a task may have none."""

    day: str
    """`2026-11-24`"""
    accepted: bool
    before: dict[str, Estimate]
    """Of the model before it, on the whole day; of a first day's own model on held-out users."""
    gained: dict[str, Estimate]
    """On the day's held-out users, the day's own model minus the one before it; {} where there is
    no such model, or the day was not learned from."""


def daily_picture(title: str, days: Sequence[DayPoint], margin: float) -> str:
    """An SVG document: AUC by day, a line per task through the accepted days, refused ones hollow;
    and what learning from each day brought, with the margin (of `quality`) under it. All with 95 %
    intervals. days: ascending, at least one."""
    tasks = list(dict.fromkeys(task for day in days for task in (*day.before, *day.gained)))
    charts = [
        _chart(days, [day.before for day in days], tasks, "AUC of the model before, on the day"),
        _chart(
            days,
            [day.gained for day in days],
            tasks,
            "AUC gained by learning from it, held-out users",
            limit=-margin,
        ),
    ]
    return picture(title, charts)


def _chart(
    days: Sequence[DayPoint],
    values: Sequence[dict[str, Estimate]],
    tasks: Sequence[str],
    what: str,
    limit: float | None = None,
) -> list[Element]:
    room = LETTER * min(max(map(len, tasks), default=1), LONGEST_NAME) + 12
    x = Axis(-0.5, len(days) - 0.5, LEFT, WIDTH - room)
    ends = [e for of in values for v in of.values() for e in (v.low, v.value, v.high)]
    ends += [] if limit is None else [limit, 0.0]
    y = Axis(*span([end for end in ends if math.isfinite(end)] or [0.5]), BOTTOM, TOP)
    parts = _axes(x, y, days, what)
    if limit is not None:
        parts.append(line(x.start, y(limit), x.end, y(limit), "limit"))
        parts.append(text(x.start + 4, y(limit) - 5, "margin", class_="tick"))
    named: dict[str, tuple[str, float]] = {}
    for number, task in enumerate(tasks):
        style = STYLES[number % len(STYLES)]
        # Tasks stand a little apart, so that their intervals can be told.
        shift = (number - (len(tasks) - 1) / 2) * min(0.12, 0.5 / len(tasks))
        path, dots = [], []
        for place, (day, of) in enumerate(zip(days, values, strict=True)):
            value = of.get(task)
            if value is None or not math.isfinite(value.value):
                continue
            at = (x(place + shift), y(value.value))
            if math.isfinite(value.standard_error):
                dots.append(line(at[0], y(value.low), at[0], y(value.high), "error"))
            tip = h("title", f"{task}, {day.day}: {value.value:.4f}")
            class_ = f"dot {style if day.accepted else 'hollow'}"
            dots.append(h("circle", tip, cx=at[0], cy=at[1], r=4.5, class_=class_))
            if day.accepted:
                path.append(at)
        points = " ".join(f"{px:.1f},{py:.1f}" for px, py in path)
        parts += [h("polyline", points=points, class_=f"series {style}"), *dots]
        if path:
            named[task] = (style, path[-1][1])
    return [*parts, *end_names(x, named, room)]


def _axes(x: Axis, y: Axis, days: Sequence[DayPoint], what: str) -> list[Element]:
    """A grid of y; days by their dates, as many as have room, and all that were refused said."""
    parts = [text(0, LINE, what, "start", "label"), line(x.start, y.start, x.end, y.start, "axis")]
    for tick, label in zip(y.ticks(), y.labels(), strict=True):
        parts += [
            line(x.start, y(tick), x.end, y(tick), "grid"),
            text(x.start - 6, y(tick) + 4, label, "end", "tick"),
        ]
    every = math.ceil(len(days) / MOST_LABELS)
    for place, day in enumerate(days):
        if place % every == 0:
            parts.append(text(x(place), y.start + 18, day.day[5:], "middle", "tick"))
        if not day.accepted:
            parts += [
                line(x(place), y.start, x(place), y.end, "mark"),
                text(x(place), y.start + 34, "refused", "middle", "on second"),
            ]
    return parts
