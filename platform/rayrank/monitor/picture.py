"""A dashboard as a picture, drawn from what its queries give."""

from collections.abc import Sequence
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
NAMES = 96
"""The room for names at the right."""
MOST = 8
"""Series of a panel that are drawn: those that are highest at the end."""
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
SMALL = "font-size:10px"


def dashboard_picture(dashboard: Dashboard, shown: Sequence[Shown]) -> str:
    """An SVG document: the panels that show something, in their sections."""
    width = ACROSS * (WIDTH + GAP) + GAP
    by_panel = {of.panel.title: of for of in shown}
    parts: list[Element] = []
    y = float(HEAD)
    for title, panels in dashboard.sections:
        drawn = [by_panel[panel.title] for panel in panels if by_panel[panel.title].lines]
        if not drawn:
            continue
        parts.append(text(GAP, y + 16, title, class_="on"))
        y += SECTION
        for number, of in enumerate(drawn):
            row, column = divmod(number, ACROSS)
            place = {"x": GAP + column * (WIDTH + GAP), "y": y + row * (HEIGHT + GAP)}
            children = _numbers(of) if of.panel.kind == "numbers" else _lines(of)
            parts.append(h("svg", *children, **place, width=WIDTH, height=HEIGHT))
        y += (HEIGHT + GAP) * -(-len(drawn) // ACROSS)
    drawing = h(
        "svg",
        h("title", dashboard.title),
        h("style", CSS),
        h("rect", x=0, y=0, width=width, height=y, fill="var(--paper)"),
        text(GAP, 22, dashboard.title, class_="on first"),
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {y:g}",
        width=width,
        height=y,
        font_size=11,
        font_family="system-ui, 'Liberation Sans', sans-serif",
    )
    return ElementTree.tostring(drawing, encoding="unicode")


def _title(of: Shown) -> Element:
    unit = {"percentunit": "share", "percent": "%", "short": "", "reqps": "per second"}
    said = unit.get(of.panel.unit, of.panel.unit)
    return text(0, LINE, of.panel.title + (f", {said}" if said else ""), class_="label")


def _lines(of: Shown) -> list[Element]:
    """A line each, named at its end."""
    lines = sorted(of.lines.items(), key=lambda line: -line[1][-1][1])[:MOST]
    lines.sort(key=lambda line: line[0])
    times = [at for _, points in lines for at, _ in points]
    start, end = min(times), max(times)
    x = Axis(0.0, max((end - start) / 60, 0.5), LEFT, WIDTH - NAMES)
    values = [value for _, points in lines for _, value in points]
    y = Axis(*span([*values, 0.0] if min(values) >= 0 else values), BOTTOM, TOP)
    parts = [_title(of), *axes(x, y, "minutes", "")]
    ends = []
    for (_, points), colour in zip(lines, COLOURS, strict=False):
        places = [(x((at - start) / 60), y(value)) for at, value in points]
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in places)
        line = {"class_": "series", "style": f"stroke:{colour};stroke-width:1.75;fill:none"}
        parts.append(h("polyline", points=path, **line))
        if of.panel.kind == "points" or len(places) < 3:
            parts += [h("circle", cx=px, cy=py, r=3.5, style=f"fill:{colour}") for px, py in places]
        ends.append(places[-1][1])
    for (name, _), colour, height in zip(
        lines, COLOURS, spread(ends, 11.5, TOP, BOTTOM), strict=False
    ):
        words = shortened(name, 1.45 * (NAMES - 10))
        parts.append(h("text", words, x=x.end + 8, y=height + 4, style=f"{SMALL};fill:{colour}"))
    if len(of.lines) > MOST:
        parts.append(text(WIDTH, BOTTOM + 18, f"and {len(of.lines) - MOST} more", "end", "tick"))
    return parts


def _numbers(of: Shown) -> list[Element]:
    """The last values, large, one under the other."""
    parts = [_title(of)]
    shown = list(of.lines.items())[:5]
    for number, (name, points) in enumerate(shown):
        at = TOP + 30 + number * 36
        told = _number(points[-1][1], of.panel.unit)
        parts += [
            h("text", told, x=4, y=at, style="font-size:22px;font-weight:650;fill:var(--first)"),
            h("text", name, x=130, y=at, style="font-size:12px;fill:var(--ink)"),
        ]
    return parts


def _number(value: float, unit: str) -> str:
    if unit == "s":
        if value < 120:
            return f"{value:.0f} s"
        if value < 7200:
            return f"{value / 60:.0f} min"
        return f"{value / 3600:.0f} h" if value < 172_800 else f"{value / 86_400:,.0f} days"
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"
