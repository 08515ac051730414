"""Charts side by side as an SVG document of its own."""

from collections.abc import Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from rayrank.report.markup import h
from rayrank.report.style import CSS
from rayrank.report.svg import HEIGHT, WIDTH, text

GAP, HEAD = 24, 26
COLUMNS = 2


def picture(title: str, charts: Sequence[Sequence[Element]]) -> str:
    """An SVG document. charts: the parts of each, drawn on WIDTH by HEIGHT."""
    width, height = len(charts) * (WIDTH + GAP), HEIGHT + HEAD
    parts = [
        h("svg", *part, x=GAP / 2 + number * (WIDTH + GAP), y=HEAD, width=WIDTH, height=HEIGHT)
        for number, part in enumerate(charts)
    ]
    return _document(title, GAP, width, height, parts)


def figures_picture(title: str, figures: Sequence[Element]) -> str:
    """An SVG document of charts (`svg.chart`), two in a row, each under its caption."""
    parts, y = [], float(HEAD)
    for first in range(0, len(figures), COLUMNS):
        heights = []
        for column, figure in enumerate(figures[first : first + COLUMNS]):
            caption, drawing = figure.find("figcaption"), figure.find("svg")
            assert caption is not None
            assert drawing is not None
            x = GAP / 2 + column * (WIDTH + GAP)
            height = float(drawing.get("viewBox", "").split()[3])
            heights.append(height)
            parts.append(text(x, y + HEAD - 8, caption.text or "", class_="on"))
            parts.append(h("svg", *drawing, x=x, y=y + HEAD, width=WIDTH, height=height))
        y += HEAD + max(heights)
    return _document(title, GAP / 2, min(len(figures), COLUMNS) * (WIDTH + GAP), y, parts)


def _document(
    title: str, title_x: float, width: float, height: float, parts: Sequence[Element]
) -> str:
    drawing = h(
        "svg",
        h("title", title),
        h("style", CSS),
        h("rect", x=0, y=0, width=width, height=height, fill="var(--paper)"),
        text(title_x, 17, title, class_="on"),
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {height:g}",
        width=2 * width,
        height=2 * height,
        font_size=11,
        font_family="system-ui, 'Liberation Sans', sans-serif",
    )
    return ElementTree.tostring(drawing, encoding="unicode")
