"""The charts with a row per ranker or slice: its name and number, and below them where it stands.

Names and numbers have a line of their own, so that neither is ever too long for the drawing's side,
and no line of the drawing runs through them.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element

from rayrank.metrics import Estimate, Quality, Slice
from rayrank.metrics.uncertainty import Z95
from rayrank.report.data import ORACLE
from rayrank.report.markup import h
from rayrank.report.numbers import signed, told_apart, with_margin
from rayrank.report.svg import (
    LETTER,
    WIDTH,
    Axis,
    bottom_axis,
    chart,
    line,
    shortened,
    span,
    text,
)

SIDE = 8
"""Free space left and right of the axis."""
WORDS, LANE, PAD = 22.0, 11.0, 11.0
"""Heights in a row: of its name and number, of each of its dots, of what separates it."""
STYLES = ("first", "second", "third", "fourth")
CORNERS = {
    "second": ((0, -5.5), (5.5, 0), (0, 5.5), (-5.5, 0)),
    "third": ((-4, -4), (4, -4), (4, 4), (-4, 4)),
    "fourth": ((0, -5), (5, 4), (-5, 4)),
}
"""Of the marks that are no circles: shape as well as colour tells rankers apart."""


class Dot(NamedTuple):
    """A value, how far its 95 % interval reaches to either side, and what it looks like."""

    value: float
    reach: float
    style: str = "plain"
    hollow: bool = False
    tip: str = ""


class Row(NamedTuple):
    """A name, a number, how they look, and dots, each on a lane of its own."""

    name: str
    number: str
    style: str
    dots: list[Dot]


def quality_rows(task: str, rankers: Mapping[str, Quality], served: str) -> Element:
    """The metric that rankers are compared by, above chance, a row per ranker; nothing can be
    beyond the oracle's."""
    shown = {name: q.compared for name, q in rankers.items() if math.isfinite(q.compared.value)}
    kind = rankers[served]
    metric, chance = kind.names[kind.compared_by], kind.chance
    reached = [estimate.value for estimate in shown.values()]
    low = min(chance, span([chance, *reached])[0])
    high = math.ceil(20 * max([chance + 0.05, *reached]) + 0.1) / 20
    rows = []
    for name, estimate in shown.items():
        style = "first" if name == served else "plain"
        dot = Dot(estimate.value, _reach(estimate), style)
        rows.append(Row(name, with_margin(*estimate), style, [dot]))
    return _chart(
        f"{task}: {metric}",
        Axis(low, high, SIDE, WIDTH - SIDE),
        rows,
        f"{metric}, from chance ({chance:g}) up",
        origin=chance,
        limit=shown[ORACLE].value if ORACLE in shown else None,
    )


def difference_rows(
    task: str, metric: str, differences: dict[str, Estimate], served: str
) -> Element:
    """A metric minus the served ranker's; hollow where the interval holds 0, an arrow where far
    off."""
    shown = {n: d for n, d in differences.items() if math.isfinite(d.low)}
    reaches = sorted(max(abs(d.low), abs(d.high)) for d in shown.values()) or [0.0]
    # Those far below must not press the close ones, which are in question, into the zero.
    far = min(reaches[-1], 2 * reaches[(len(reaches) - 1) // 2])
    ends = [min(max(end, -far), far) for d in shown.values() for end in (d.low, d.high)]
    rows = [
        Row(
            name,
            signed(d),
            "plain",
            [Dot(d.value, Z95 * d.standard_error, hollow=not told_apart(d))],
        )
        for name, d in shown.items()
    ]
    return _chart(
        f"{task}: {metric} minus {served}'s",
        Axis(*span([0.0, *ends]), 2 * SIDE, WIDTH - 2 * SIDE),
        rows,
        f"difference of {metric}",
        origin=0.0,
    )


def slice_rows(task: str, metric: str, slices: dict[str, list[Slice]]) -> Element:
    """A metric on each slice: the number is the first ranker's, the others have a lane each."""
    rows = []
    for parts in zip(*slices.values(), strict=True):
        dots = [
            Dot(
                part.quality.compared.value,
                Z95 * part.quality.compared.standard_error,
                style,
                tip=f"{name} {with_margin(*part.quality.compared)}",
            )
            for name, part, style in zip(slices, parts, itertools.cycle(STYLES), strict=False)
        ]
        rows.append(Row(parts[0].name, with_margin(*parts[0].quality.compared), "plain", dots))
    ends = [d.value + side * d.reach for row in rows for d in row.dots for side in (-1, 1)]
    finite = [end for end in ends if math.isfinite(end)]
    return _chart(
        f"{task}: {metric} by length of history",
        Axis(*span(finite or [0.5]), SIDE, WIDTH - SIDE),
        rows,
        metric,
        legend=_legend(list(slices)),
    )


def _reach(estimate: Estimate) -> float:
    """Of its interval; 0 where that was not measured."""
    return Z95 * estimate.standard_error if math.isfinite(estimate.standard_error) else 0.0


def _chart(
    title: str,
    x: Axis,
    rows: Sequence[Row],
    label: str,
    *,
    origin: float | None = None,
    limit: float | None = None,
    legend: Element | None = None,
) -> Element:
    parts = []
    top = 0.0
    for row in rows:
        base, bottom = top + WORDS, top + WORDS + LANE * len(row.dots)
        name = shortened(row.name, WIDTH - 2 * SIDE - LETTER * (len(row.number) + 2))
        parts += [
            text(x.start, base - 5, name, "start", f"on {row.style}"),
            text(x.end, base - 5, row.number, "end", f"on {row.style}"),
            *(line(x(tick), base, x(tick), bottom, "grid") for tick in x.ticks()),
        ]
        if origin is not None:
            parts.append(line(x(origin), base, x(origin), bottom, "axis"))
        if limit is not None:
            parts.append(line(x(limit), base, x(limit), bottom, "bound"))
        for lane, dot in enumerate(row.dots):
            if math.isfinite(dot.value):
                parts += _dot(x, base + LANE * (lane + 0.5), dot, origin)
        top = bottom + PAD
    described = ", ".join(f"{row.name} {row.number}" for row in rows)
    return chart(
        title,
        f"{described}.",
        *parts,
        *bottom_axis(x, top, label),
        height=top + 42,
        legend=legend,
    )


def _dot(x: Axis, y: float, dot: Dot, origin: float | None) -> list[Element]:
    """The stem from the origin, the whisker, the mark; an arrow at the edge for what is beyond."""
    inner = min(max(dot.value, x.low), x.high)
    parts = []
    if origin is not None:
        parts.append(line(x(origin), y, x(inner), y, f"stem {dot.style}"))
    if inner != dot.value:
        tip, back = (x.start - 8, 8) if dot.value < x.low else (x.end + 8, -8)
        points = f"{tip:.1f},{y:.1f} {tip + back:.1f},{y - 6:.1f} {tip + back:.1f},{y + 6:.1f}"
        return [*parts, h("polygon", points=points, class_=f"dot {dot.style}")]
    if dot.reach > 0:
        low, high = max(dot.value - dot.reach, x.low), min(dot.value + dot.reach, x.high)
        parts += [
            line(x(low), y, x(high), y, "error"),
            *(line(x(end), y - 4, x(end), y + 4, "error") for end in (low, high)),
        ]
    return [*parts, _mark(x(inner), y, dot)]


def _mark(x: float, y: float, dot: Dot) -> Element:
    named = h("title", dot.tip) if dot.tip else None
    class_ = f"dot {dot.style}" + (" hollow" if dot.hollow else "")
    if dot.style not in CORNERS:
        return h("circle", named, cx=x, cy=y, r=4.5, class_=class_)
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in CORNERS[dot.style])
    return h("polygon", named, points=points, class_=class_)


def _legend(names: Sequence[str]) -> Element:
    keys = [
        h("svg", _mark(7, 7, Dot(0.0, 0.0, style)), viewBox="0 0 14 14", aria_hidden="true")
        for _, style in zip(names, itertools.cycle(STYLES), strict=False)
    ]
    return h(
        "ul", *(h("li", key, name) for key, name in zip(keys, names, strict=True)), class_="legend"
    )
