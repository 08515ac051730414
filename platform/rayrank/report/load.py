"""How an endpoint answers at several rates, as a picture of its own."""

import math
from collections.abc import Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element

from rayrank.report.charts import spread
from rayrank.report.markup import h
from rayrank.report.picture import picture
from rayrank.report.svg import (
    BOTTOM,
    LEFT,
    LINE,
    TOP,
    WIDTH,
    Axis,
    axes,
    line,
    span,
    text,
)

NAME_ROOM = 64
STYLES = ("first", "second", "third")


class RatePoint(NamedTuple):
    """What came of a load at one rate."""

    per_s: float
    """Offered."""
    goodput_per_s: float
    p50_ms: float
    """NaN, as the others, where nothing was scored."""
    p90_ms: float
    p99_ms: float


def load_picture(title: str, points: Sequence[RatePoint], bound_ms: float) -> str:
    """An SVG document: percentiles of latency, with a bound, and goodput, over the offered rate.

    points: at least one.
    """
    points = sorted(points)
    return picture(title, [_latencies(points, bound_ms), _goodput(points)])


def _latencies(points: Sequence[RatePoint], bound_ms: float) -> list[Element]:
    scored = [point for point in points if math.isfinite(point.p99_ms)]
    every = [bound_ms, *(ms for point in scored for ms in point[2:])]
    x = _rates(points)
    y = Axis(min(every) / 1.2, max(every) * 1.2, BOTTOM, TOP, log=True)
    lines = {
        name: [(x(point.per_s), y(point[place])) for point in scored]
        for place, name in ((2, "p50"), (3, "p90"), (4, "p99"))
    }
    bound = f"{bound_ms:g} ms"
    return [
        *axes(x, y, "requests offered per second", "latency of what was scored, ms"),
        line(x.start, y(bound_ms), x.end, y(bound_ms), "limit"),
        *_lines(lines, {bound: y(bound_ms)}, x.end),
    ]


def _goodput(points: Sequence[RatePoint]) -> list[Element]:
    x = _rates(points)
    most = points[-1].per_s
    y = Axis(0, span([0.0, max(point.goodput_per_s for point in points), most])[1], BOTTOM, TOP)
    path = [(x(point.per_s), y(point.goodput_per_s)) for point in points]
    return [
        *axes(x, y, "requests offered per second", "scored per second"),
        line(x(0), y(0), x(most), y(most), "limit"),
        *_lines({"scored": path}, {"offered": y(most)}, x.end),
    ]


def _rates(points: Sequence[RatePoint]) -> Axis:
    return Axis(0, points[-1].per_s, LEFT, WIDTH - NAME_ROOM)


def _lines(
    lines: dict[str, list[tuple[float, float]]], others: dict[str, float], end: float
) -> list[Element]:
    """Lines with dots, and at their ends their names, beside the names of other things there."""
    parts: list[Element] = []
    names = {name: ("", height) for name, height in others.items()}
    for (name, places), style in zip(lines.items(), STYLES, strict=False):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(h("polyline", points=path, class_=f"series {style}"))
        parts += [h("circle", cx=x, cy=y, r=4, class_=f"dot {style}") for x, y in places]
        if places:
            names[name] = (style, places[-1][1])
    heights = spread([height for _, height in names.values()], LINE, TOP, BOTTOM)
    for (name, (style, _)), height in zip(names.items(), heights, strict=True):
        class_ = f"on {style}" if style else "tick"
        parts.append(text(end + 8, height + 4, name, class_=class_))
    return parts
