"""The picture of a load draws each rate where it belongs."""

import math
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest
from rayrank.report.load import NAME_ROOM, RatePoint, load_picture
from rayrank.report.svg import BOTTOM, LEFT, TOP, WIDTH

SVG = "{http://www.w3.org/2000/svg}"
POINTS = [
    RatePoint(20.0, 10.0, 100.0, 200.0, 400.0),
    RatePoint(10.0, 10.0, 10.0, 20.0, 40.0),
    RatePoint(40.0, 0.0, math.nan, math.nan, math.nan),
]


def dots(part: Element, style: str) -> list[tuple[float, float]]:
    found = [e for e in part.iter(f"{SVG}circle") if style in e.get("class", "").split()]
    return [(float(e.get("cx", "")), float(e.get("cy", ""))) for e in found]


def test_dots_stand_at_their_rates_and_values() -> None:
    picture = ElementTree.fromstring(load_picture("a <title>", POINTS, 80.0))
    latencies, goodput = picture.findall(f"{SVG}svg")
    right = WIDTH - NAME_ROOM

    def x(rate: float) -> float:
        return LEFT + rate / 40 * (right - LEFT)

    for style in ("first", "second", "third"):
        (slow_x, slow), (fast_x, fast) = sorted(dots(latencies, style))
        assert (slow_x, fast_x) == pytest.approx((x(10), x(20)), abs=0.1)
        # Ten times as long is as far up in each of them: the axis goes by factors.
        assert slow - fast == pytest.approx((BOTTOM - TOP) / math.log10(480 / (10 / 1.2)), abs=0.2)
    scored = sorted(dots(goodput, "first"))
    assert [at for at, _ in scored] == pytest.approx([x(10), x(20), x(40)], abs=0.1)
    assert [y for _, y in scored] == pytest.approx(
        [BOTTOM - (BOTTOM - TOP) / 4] * 2 + [BOTTOM], abs=0.1
    )
    told = "".join(picture.itertext())
    assert all(name in told for name in ("a <title>", "p50", "p90", "p99", "80 ms", "offered"))
