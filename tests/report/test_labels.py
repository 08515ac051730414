"""Words in drawings: none on another, none outside, none under a line, at their largest."""

import math
from itertools import combinations
from typing import NamedTuple
from xml.etree.ElementTree import Element

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rayrank.metrics import CalibrationBin, Estimate
from rayrank.report.charts import calibration_plot, loss_curve, validation_curve
from rayrank.report.data import EpochPoint, LossPoint
from rayrank.report.histogram import histogram
from rayrank.report.rows import difference_rows, quality_rows, slice_rows
from rayrank.report.svg import LETTER, LINE

from ..effort import examples
from .sample import part, quality

RATE = st.floats(0, 1) | st.sampled_from([0.5, 0.8, 0.80001, math.nan])
ERROR = st.floats(0, 0.3) | st.sampled_from([0.0, 1e-6])
NAME = st.text("mW_i", min_size=1, max_size=60) | st.text("mW", min_size=45, max_size=60)
NAMES = st.lists(NAME, min_size=1, max_size=5, unique=True)


class Box(NamedTuple):
    words: str
    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: "Box") -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )


def boxes(figure: Element) -> list[Box]:
    """Of all words in a chart's drawing, a tenth smaller than allotted, for rounding."""
    result = []
    for each in figure.iter("text"):
        words, x, y = each.text or "", float(each.get("x", "")), float(each.get("y", ""))
        width = LETTER * len(words)
        left = x - {"start": 0, "middle": width / 2, "end": width}[each.get("text-anchor", "")]
        result.append(Box(words, left, y - LINE + 3.1, left + width - 0.1, y + 2.9))
    return result


def check(figure: Element) -> None:
    drawing = next(e for e in figure.iter("svg") if e.get("role") == "img")
    _, _, width, height = map(float, drawing.get("viewBox", "").split())
    words = boxes(figure)
    assert words
    for a, b in combinations(words, 2):
        assert not a.meets(b), (a, b)
    for box in words:
        assert box.left >= -0.2, box
        assert box.right <= width + 0.2, box
        assert box.top >= 0, box
        assert box.bottom <= height, box
    for each in drawing.iter("line"):
        x1, x2, y1, y2 = (float(each.get(name, "")) for name in ("x1", "x2", "y1", "y2"))
        drawn = Box("line", min(x1, x2), min(y1, y2), max(x1, x2) + 0.01, max(y1, y2) + 0.01)
        if each.get("class") != "limit":  # calibration's diagonal is no box
            assert not [box for box in words if box.meets(drawn)], drawn


@settings(max_examples=examples(300), deadline=None)
@given(
    places=st.lists(st.floats(0, 1), min_size=3, max_size=3),
    low=st.floats(0.5, 1e4),
    factor=st.floats(1.5, 300),
    count=st.integers(0, 10**7),
)
@example(places=[0.4, 0.4, 0.4], low=8, factor=300, count=5)
@example(places=[0.3, 0.99, 1.0], low=8, factor=300, count=5)
@example(places=[0.01, 0.35, 0.7], low=800, factor=3, count=5)
@example(places=[0.0, 0.0, 1.0], low=8, factor=300, count=5)
@example(places=[1.0, 1.0, 1.0], low=8, factor=300, count=5)
def test_a_histograms_marks(places: list[float], low: float, factor: float, count: int) -> None:
    edges = [low, low * factor**0.5, low * factor]
    marks = {
        name: low * factor**at for name, at in zip(("median", "mean", "p99"), places, strict=True)
    }
    check(histogram("Lengths", edges, [count, 1], unit="tokens", what="rows", marks=marks))


@settings(max_examples=examples(150), deadline=None)
@given(names=NAMES, data=st.data())
def test_rows(names: list[str], data: st.DataObject) -> None:
    served, *others = names
    rankers = {name: quality(data.draw(RATE), data.draw(ERROR)) for name in [*names, "oracle"]}
    check(quality_rows("click", rankers, served))
    differences = {
        name: Estimate(data.draw(st.floats(-1, 1) | st.just(math.nan)), data.draw(ERROR))
        for name in ["oracle", *others]
    }
    check(difference_rows("click", "GAUC", differences, served))
    parts = data.draw(NAMES)
    check(
        slice_rows(
            "click",
            "GAUC",
            {
                name: [
                    part(of, 9, 99, Estimate(0.8, 0.1), Estimate(data.draw(RATE), 0.01))
                    for of in parts
                ]
                for name in names
            },
        )
    )


@settings(max_examples=examples(150), deadline=None)
@given(
    tasks=NAMES,
    ends=st.lists(RATE, min_size=5, max_size=5),
    steps=st.integers(1, 10**7),
    losses=st.lists(st.floats(0.01, 1e5), min_size=1, max_size=9),
)
@example(tasks=["click", "order"], ends=[0.8, 0.8, 0, 0, 0], steps=400, losses=[0.5])
def test_curves(tasks: list[str], ends: list[float], steps: int, losses: list[float]) -> None:
    gauc = dict(zip(tasks, ends, strict=False))
    for ended in ([steps], [steps, 2 * steps]):
        check(validation_curve("GAUC", tasks, [EpochPoint(step, gauc) for step in ended]))
    check(loss_curve([LossPoint(k + 1, (k + 1) * steps, loss) for k, loss in enumerate(losses)]))


@pytest.mark.parametrize("most", [1e-6, 0.003, 0.5, 1.0])
def test_calibration(most: float) -> None:
    bins = [CalibrationBin(most * k / 10, most * (k + 1) / 11, 10 + k) for k in range(11)]
    check(calibration_plot("click", bins))
