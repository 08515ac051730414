"""Charts of a page as a picture by itself: two in a row, none over another."""

from xml.etree import ElementTree

from rayrank.report.markup import h
from rayrank.report.picture import GAP, HEAD, figures_picture
from rayrank.report.svg import WIDTH, chart

SVG = "{http://www.w3.org/2000/svg}"


def test_a_third_chart_comes_below() -> None:
    figures = [chart(name, "told", h("circle", r=1)) for name in ("one", "two", "three")]
    drawing = ElementTree.fromstring(figures_picture("Charts", figures))
    first, second, third = drawing.findall(f"{SVG}svg")
    assert first.get("y") == second.get("y")
    assert float(second.get("x", "")) == float(first.get("x", "")) + WIDTH + GAP
    assert third.get("x") == first.get("x")
    tall = float(first.get("height", ""))
    assert float(third.get("y", "")) == float(first.get("y", "")) + tall + HEAD
    *_, width, height = map(float, drawing.get("viewBox", "").split())
    assert width == 2 * (WIDTH + GAP)
    assert height == float(third.get("y", "")) + tall


def test_one_chart_is_as_wide_as_itself() -> None:
    drawing = ElementTree.fromstring(
        figures_picture("Chart", [chart("one", "told", h("circle", r=1))])
    )
    assert float(drawing.get("viewBox", "").split()[2]) == WIDTH + GAP
