"""The picture of daily training draws each day where it belongs, and says which were refused."""

from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest
from rayrank.metrics import Estimate
from rayrank.report.daily import DayPoint, daily_picture

SVG = "{http://www.w3.org/2000/svg}"
NONE: dict[str, Estimate] = {}
DAYS = [
    DayPoint(
        "2026-11-20", True, {"click": Estimate(0.70, 0.01), "order": Estimate(0.6, 0.0)}, NONE
    ),
    DayPoint("2026-11-21", True, {"click": Estimate(0.80, 0.01)}, {"click": Estimate(0.01, 0.002)}),
    DayPoint("2026-11-22", False, {"click": Estimate(0.50, 0.01)}, NONE),
    DayPoint(
        "2026-11-23",
        True,
        {"click": Estimate(0.75, float("nan")), "order": Estimate(float("nan"), float("nan"))},
        {"click": Estimate(-0.01, 0.002)},
    ),
]


def dots(part: Element, style: str) -> list[tuple[float, float]]:
    found = [e for e in part.iter(f"{SVG}circle") if style in e.get("class", "").split()]
    return [(float(e.get("cx", "")), float(e.get("cy", ""))) for e in found]


def test_days_stand_apart_alike_and_auc_by_its_value() -> None:
    left, right = ElementTree.fromstring(daily_picture("t", DAYS, 0.02)).findall(f"{SVG}svg")
    (x1, y1), (x2, y2), (x4, y4) = dots(left, "first")
    ((x3, y3),) = dots(left, "hollow")
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2)
    assert x3 - x2 == pytest.approx(x4 - x3, abs=0.2)
    assert y1 - y2 == pytest.approx((y3 - y2) / 3, abs=0.2)
    assert y1 - y4 == pytest.approx((y1 - y2) / 2, abs=0.2)
    assert len(dots(left, "second")) == 1
    # The line goes through accepted days alone.
    lines = [e for e in left.iter(f"{SVG}polyline") if "first" in e.get("class", "")]
    assert [len(e.get("points", "").split()) for e in lines] == [3]
    assert len(dots(right, "first")) == 2
    assert len([e for e in right.iter(f"{SVG}line") if e.get("class") == "limit"]) == 1


def test_it_says_days_tasks_and_what_was_refused() -> None:
    told = list(ElementTree.fromstring(daily_picture("a <title>", DAYS, 0.02)).itertext())
    assert "a <title>" in told
    for words in ("11-20", "11-23", "click", "order", "refused"):
        assert words in told
    assert told.count("refused") == 2  # in each chart


def test_many_days_are_not_all_named() -> None:
    days = [
        DayPoint(f"2026-11-{n:02d}", True, {"click": Estimate(0.7, 0.01)}, NONE)
        for n in range(1, 31)
    ]
    left, _ = ElementTree.fromstring(daily_picture("t", days, 0.02)).findall(f"{SVG}svg")
    assert sum("11-" in "".join(e.itertext()) for e in left.iter(f"{SVG}text")) <= 8
    assert len(dots(left, "first")) == 30


def test_one_day_is_enough() -> None:
    assert "click" in daily_picture("t", DAYS[:1], 0.02)
