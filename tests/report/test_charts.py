"""Charts draw their values where they belong."""

from itertools import pairwise
from xml.etree.ElementTree import Element

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rayrank.metrics import CalibrationBin, Estimate
from rayrank.report.charts import calibration_plot, spread
from rayrank.report.histogram import histogram
from rayrank.report.rows import difference_rows, quality_rows, slice_rows
from rayrank.report.svg import BOTTOM, LEFT, RIGHT, TOP, Axis

from .sample import part, quality


def found(figure: Element, tag: str, style: str) -> list[Element]:
    return [e for e in figure.iter(tag) if style in e.get("class", "").split()]


def place(element: Element, name: str) -> float:
    return float(element.get(name, ""))


def test_dots_stand_at_their_values_within_their_intervals() -> None:
    values = {"mtgr": 0.78, "rate": 0.60, "oracle": 0.82}
    figure = quality_rows("click", {n: quality(v, 0.01) for n, v in values.items()}, "mtgr")
    dots = [place(e, "cx") for e in figure.iter("circle")]
    chance, end = place(found(figure, "line", "axis")[0], "x1"), dots[2]
    bounds = {place(e, "x1") for e in found(figure, "line", "bound")}
    assert bounds == {end}
    for x, value in zip(dots, values.values(), strict=True):
        assert (x - chance) / (end - chance) == pytest.approx((value - 0.5) / 0.32, abs=0.002)
    whiskers = [e for e in found(figure, "line", "error") if e.get("y1") == e.get("y2")]
    for x, whisker in zip(dots, whiskers, strict=True):
        unit = (end - chance) / 0.32
        assert x - place(whisker, "x1") == pytest.approx(1.96 * 0.01 * unit, abs=0.2)
        assert place(whisker, "x2") - x == pytest.approx(1.96 * 0.01 * unit, abs=0.2)


def test_differences_stand_on_their_side_of_zero() -> None:
    differences = {
        "worse": Estimate(-0.02, 0.002),
        "even": Estimate(0.001, 0.002),
        "better": Estimate(0.01, 0.002),
        "far": Estimate(-0.4, 0.002),
    }
    figure = difference_rows("click", "GAUC", differences, "mtgr")
    zero = place(found(figure, "line", "axis")[0], "x1")
    worse, even, better = (place(e, "cx") for e in figure.iter("circle"))
    assert worse < zero < even < better
    assert zero - worse == pytest.approx(2 * (better - zero), rel=0.02)
    (hollow,) = found(figure, "circle", "hollow")
    assert place(hollow, "cx") == even
    (arrow,) = found(figure, "polygon", "dot")
    tip = float(arrow.get("points", "").split(",")[0])
    assert 0 <= tip < worse


def test_rankers_on_a_slice_differ_in_shape() -> None:
    estimate = Estimate(0.8, 0.01)
    slices = {
        name: [part("1–9", 5, 50, estimate, estimate)] for name in ("mtgr", "dlrm", "trees", "rate")
    }
    figure = slice_rows("click", "GAUC", slices)
    (legend,) = found(figure, "ul", "legend")
    assert [item[0].tail for item in legend] == list(slices)
    keys = [item[0][0] for item in legend]
    corners = [e.get("points", "").count(",") for e in keys]
    assert [e.tag for e in keys] == ["circle", "polygon", "polygon", "polygon"]
    assert len({e.get("points") for e in keys}) == 4
    assert corners == [0, 4, 4, 3]
    lanes = {place(e, "y1") for e in found(figure, "line", "error") if e.get("y1") == e.get("y2")}
    assert len(lanes) == 4


def test_a_calibrated_bin_is_on_the_diagonal() -> None:
    bins = [CalibrationBin(p, p, 100) for p in (0.1, 0.35)] + [CalibrationBin(0.2, 0.3, 100)]
    places = [
        ((place(e, "cx") - LEFT) / (RIGHT - LEFT), (BOTTOM - place(e, "cy")) / (BOTTOM - TOP))
        for e in calibration_plot("click", bins).iter("circle")
    ]
    assert places[0][0] == pytest.approx(places[0][1], abs=0.002)
    assert places[1][0] == pytest.approx(places[1][1], abs=0.002)
    assert places[2][1] == pytest.approx(1.5 * places[2][0], abs=0.003)


def test_the_diagonal_goes_from_corner_to_corner() -> None:
    bins = [CalibrationBin(p, p, 100) for p in (0.1, 0.35)]
    figure = calibration_plot("click", bins)
    (line,) = found(figure, "line", "limit")
    assert (place(line, "x1"), place(line, "y1")) == (LEFT, BOTTOM)
    assert (place(line, "x2"), place(line, "y2")) == (RIGHT, TOP)


def test_bars_are_as_high_as_their_counts() -> None:
    figure = histogram(
        "Lengths", [1, 10, 100, 1000], [10, 40, 20], unit="tokens", what="rows", marks={"mean": 10}
    )
    bars = found(figure, "rect", "bar")
    heights, widths = [place(e, "height") for e in bars], [place(e, "width") for e in bars]
    assert heights[1] == pytest.approx(4 * heights[0], abs=0.5)
    assert heights[2] == pytest.approx(2 * heights[0], abs=0.5)
    assert max(widths) - min(widths) < 0.2
    (mark,) = found(figure, "line", "mark")
    assert place(mark, "x1") == pytest.approx(place(bars[1], "x"), abs=0.6)


@given(st.floats(1e-3, 1e4), st.floats(1.0001, 1e6), st.booleans())
def test_axes_have_round_ticks_inside(low: float, factor: float, log: bool) -> None:
    axis = Axis(low, low * factor, 0, 100, log)
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= 14
    assert ticks == sorted(ticks)
    assert all(-1e-6 <= axis(tick) <= 100 + 1e-6 for tick in ticks)
    assert len(set(axis.labels())) == len(ticks)


def test_tick_labels_tell_ticks_apart() -> None:
    assert Axis(0.8205, 0.8225, 0, 100).labels() == [
        "0.8205",
        "0.8210",
        "0.8215",
        "0.8220",
        "0.8225",
    ]
    assert Axis(-0.02, 0.02, 0, 100).labels() == ["−0.02", "−0.01", "0", "0.01", "0.02"]
    assert Axis(0, 1.8e6, 0, 100).labels() == ["0", "0.5M", "1.0M", "1.5M"]
    assert Axis(8, 3000, 0, 100, log=True).labels() == ["10", "30", "100", "300", "1k", "3k"]


@given(st.lists(st.floats(0, 100), max_size=20))
def test_spread_keeps_order_and_distance(places: list[float]) -> None:
    moved = spread(places, 10, 0, 100)
    assert all(-1e-6 <= at <= 100 + 1e-6 for at in moved)
    ascending = [at for _, at in sorted(zip(places, moved, strict=True))]
    gap = min(10, 100 / max(len(places) - 1, 1))
    assert all(b - a >= gap - 1e-6 for a, b in pairwise(ascending))
    if all(b - a >= 10 for a, b in pairwise(sorted(places))):
        assert moved == pytest.approx(places)
