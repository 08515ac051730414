"""A dashboard as a picture, drawn from what its queries give."""

from collections.abc import Sequence
from itertools import pairwise
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from rayrank.monitor.look import Shown
from rayrank.monitor.panels import Dashboard
from rayrank.report.charts import spread
from rayrank.report.markup import h
from rayrank.report.style import CSS
from rayrank.report.svg import (
    BOTTOM,
    HEIGHT,
    LEFT,
    LETTER,
    LINE,
    TOP,
    WIDTH,
    Axis,
    axes,
    shortened,
    span,
    text,
)

ACROSS, GAP, HEAD, SECTION = 3, 20, 34, 30
NAMES = 124
"""The room for names at the right, and what a letter takes of it."""
NARROW = 6.0
MOST = 8
"""Series of a panel that are drawn: those that are highest at the end."""
NUMBER = 36
COLOURS = (
    "var(--first)",
    "var(--second)",
    "var(--third)",
    "#a0569a",
    "#8a7500",
    "#5a6b7b",
    "#c2416b",
    "#2f8fa3",
)
TITLE = "font-size:13px;font-weight:600;fill:var(--ink)"
BIG = "font-size:22px;font-weight:650;fill:var(--first)"
UNITS = {"percentunit": "share", "percent": "%", "short": "", "reqps": "per second", "bytes": ""}
HOLE = 2.5
"""Steps without a point after which a line ends, and begins anew."""

Points = Sequence[tuple[float, float]]


def dashboard_picture(dashboard: Dashboard, shown: Sequence[Shown]) -> str:
    """An SVG document: the panels that show something, in their sections, all over the same
    time."""
    width = ACROSS * (WIDTH + GAP) + GAP
    by_panel = {of.panel.title: of for of in shown if of.lines}
    times = [at for of in by_panel.values() for points in of.lines.values() for at, _ in points]
    start = min(times, default=0.0)
    time = Axis(0.0, max((max(times, default=0.0) - start) / 60, 0.5), LEFT, WIDTH - NAMES)
    parts: list[Element] = []
    y = float(HEAD)
    for title, panels in dashboard.sections:
        drawn = [by_panel[panel.title] for panel in panels if panel.title in by_panel]
        if not drawn:
            continue
        parts.append(text(GAP, y + 16, title, class_="on first"))
        y += SECTION
        for first in range(0, len(drawn), ACROSS):
            row = drawn[first : first + ACROSS]
            for column, of in enumerate(row):
                children = _numbers(of) if of.panel.kind == "numbers" else _lines(of, time, start)
                place = {"x": GAP + column * (WIDTH + GAP), "y": y}
                parts.append(h("svg", *children, **place, width=WIDTH, height=HEIGHT))
            y += max(map(_height, row)) + GAP
    drawing = h(
        "svg",
        h("title", dashboard.title),
        h("style", CSS),
        h("rect", x=0, y=0, width=width, height=y, fill="var(--paper)"),
        text(GAP, 22, dashboard.title, class_="on"),
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {y:g}",
        width=width,
        height=y,
        font_size=11,
        font_family="system-ui, 'Liberation Sans', sans-serif",
    )
    return ElementTree.tostring(drawing, encoding="unicode")


def _height(of: Shown) -> float:
    return TOP + NUMBER * len(of.lines) if of.panel.kind == "numbers" else HEIGHT


def _title(of: Shown) -> Element:
    unit = UNITS.get(of.panel.unit, of.panel.unit)
    return h("text", of.panel.title + (f", {unit}" if unit else ""), x=0, y=LINE, style=TITLE)


def _lines(of: Shown, x: Axis, start: float) -> list[Element]:
    """A line each, named at its end."""
    lines = sorted(of.lines.items(), key=lambda line: -line[1][-1][1])[:MOST]
    lines.sort(key=lambda line: line[0])
    values = [value for _, points in lines for _, value in points]
    y = Axis(*span([*values, 0.0] if min(values) >= 0 else values), BOTTOM, TOP)
    parts = [_title(of), *axes(x, y, "minutes", "")]
    step = min((b - a for _, points in lines for a, b in _neighbours(points)), default=1.0)
    hole = float("inf") if of.panel.kind == "points" else HOLE * step
    ends = []
    for (_, points), colour in zip(lines, COLOURS, strict=False):
        for piece in _pieces(points, hole):
            places = [(x((at - start) / 60), y(value)) for at, value in piece]
            path = " ".join(f"{px:.1f},{py:.1f}" for px, py in places)
            style = f"stroke:{colour};stroke-width:1.75;fill:none"
            parts.append(h("polyline", points=path, style=style))
            if of.panel.kind == "points" or len(places) == 1:
                parts += [h("circle", cx=a, cy=b, r=3.0, style=f"fill:{colour}") for a, b in places]
        ends.append(y(points[-1][1]))
    heights = spread(ends, 11.5, TOP, BOTTOM)
    for (name, _), colour, height in zip(lines, COLOURS, heights, strict=False):
        words = shortened(name, LETTER * (NAMES - 8) / NARROW)
        style = f"font-size:10px;fill:{colour}"
        parts.append(h("text", words, x=x.end + 8, y=height + 4, style=style))
    if len(of.lines) > MOST:
        parts.append(text(WIDTH, BOTTOM + 18, f"and {len(of.lines) - MOST} more", "end", "tick"))
    return parts


def _neighbours(points: Points) -> list[tuple[float, float]]:
    """The times of two points in a row."""
    return [(one[0], other[0]) for one, other in pairwise(points)]


def _pieces(points: Points, hole: float) -> list[Points]:
    """The points, cut where more than `hole` seconds lie between two."""
    cuts = [n for n, (a, b) in enumerate(_neighbours(points), 1) if b - a > hole]
    return [points[a:b] for a, b in pairwise([0, *cuts, len(points)])]


def _numbers(of: Shown) -> list[Element]:
    """The last values, large, one under the other."""
    parts = [_title(of)]
    for number, (name, points) in enumerate(of.lines.items()):
        at = TOP + 24 + number * NUMBER
        parts += [
            h("text", _number(points[-1][1], of.panel.unit), x=4, y=at, style=BIG),
            h("text", name, x=130, y=at, style="font-size:12px;fill:var(--ink)"),
        ]
    return parts


def _number(value: float, unit: str) -> str:
    if unit == "s":
        size, name = next((s for s in TIMES if value >= 2 * s[0]), (1, "s"))
        return f"{value / size:,.0f} {name}"
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


TIMES = ((86_400, "days"), (3600, "h"), (60, "min"))
