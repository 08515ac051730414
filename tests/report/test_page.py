"""The report: every number is there, well formed, self-contained, and drawn where it belongs."""

import math
import os
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from rayrank.metrics.calibration import CalibrationBin
from rayrank.report import ReportData, write_report
from rayrank.report.charts import calibration_plot, gauc_dots, histogram
from rayrank.report.data import (
    DataFacts,
    EpochPoint,
    Lengths,
    LossPoint,
    Serving,
    TaskQuality,
    bins_by_factors,
)
from rayrank.report.style import CSS
from rayrank.report.svg import BOTTOM, LEFT, RIGHT, TOP, Axis

VOID = {"meta", "br", "hr", "img", "input", "link"}


def quality(gauc: float, error: float | None = 0.0031) -> TaskQuality:
    return TaskQuality(auc=gauc + 0.02, gauc=gauc, auc_se=error, gauc_se=error)


def report(**changes: Any) -> ReportData:
    rankers = {
        "mtgr": 0.7821,
        "dlrm": 0.7502,
        "lightgbm": 0.7401,
        "item_rate": 0.6113,
        "oracle": 0.8140,
    }
    facts = DataFacts(
        exposures=168_431,
        user_rows=12_450,
        compression=13.53,
        tokens=943_465,
        lengths=Lengths(
            mean=76.2, p50=53, p99=519, max=2694, edges=[8, 64, 512, 4096], counts=[7001, 5002, 447]
        ),
    )
    serving = Serving(
        requests=4,
        p50_ms=11.25,
        p99_ms=31.75,
        max_abs_diff=2.34e-7,
        latencies_ms=[9.87, 10.5, 12.0, 32.1],
    )
    content: dict[str, Any] = {
        "title": "A run",
        "when": datetime(2026, 6, 1, 9, 30, tzinfo=UTC),
        "machine": "two cores",
        "versions": {"torch": "2.13.0"},
        "facts": facts,
        "steps": [LossPoint(k + 1, 2900 * (k + 1), 0.7 / (k + 1)) for k in range(5)],
        "epochs": [
            EpochPoint(2, {"click": 0.7111, "order": 0.6999}),
            EpochPoint(5, {"click": 0.7777, "order": 0.7666}),
        ],
        "quality": {
            name: {"click": quality(g), "order": quality(g - 0.01)} for name, g in rankers.items()
        },
        "calibration": {
            "click": [CalibrationBin(0.0512, 0.0534, 1500), CalibrationBin(0.4012, 0.3987, 1499)],
            "order": [CalibrationBin(0.0612, 0.0598, 2999)],
        },
        "serving": serving,
        "stages": {"build": 14.2, "train": 72.4},
    }
    return ReportData.model_validate(content | changes)


class Page(HTMLParser):
    """Checks that tags balance while it collects text and attributes."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs)
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data + "\n"


def page_of(data: ReportData, folder: Path) -> Page:
    write_report(data, folder / "report.html")
    return Page((folder / "report.html").read_text())


def found(figure: Element, tag: str, style: str) -> list[Element]:
    return [e for e in figure.iter(tag) if style in e.get("class", "").split()]


def test_every_number_is_on_the_page(tmp_path: Path) -> None:
    data = report()
    text = page_of(data, tmp_path).text
    rates = [
        rate
        for ranker in data.quality.values()
        for q in ranker.values()
        for rate in (q.auc, q.gauc)
    ]
    rates += [s.loss for s in data.steps] + [v for e in data.epochs for v in e.gauc.values()]
    bins = [b for bins in data.calibration.values() for b in bins]
    rates += [rate for b in bins for rate in (b.predicted, b.observed)]
    counts = [b[2] for b in bins] + data.facts.lengths.counts + [s.tokens for s in data.steps]
    expected = [f"{rate:.4f}" for rate in rates] + [f"{count:,}" for count in counts]
    expected += ["168,431", "12,450", "13.53", "943,465", "76.2", "53", "519", "2,694"]
    expected += ["11.25 ms", "31.75 ms", "9.87 ms", "32.10 ms", "2.34e-07", "± 0.0031"]
    expected += ["14.2 s", "72.4 s", "86.6 s", "2.13.0", "2026-06-01 09:30 UTC", "two cores"]
    assert [number for number in expected if number not in text] == []


def test_shares_are_of_the_oracles_margin(tmp_path: Path) -> None:
    assert "89.8% of the oracle's margin" in page_of(report(), tmp_path).text
    assert report().margin_share("dlrm", "click") == pytest.approx(0.2502 / 0.3140)
    assert report().margin_share("oracle", "order") == 1


def test_a_real_log_has_no_oracle(tmp_path: Path) -> None:
    rankers = {k: v for k, v in report().quality.items() if k != "oracle"}
    data = report(quality=rankers)
    text = page_of(data, tmp_path).text
    assert "oracle" not in text
    assert "share" not in text
    assert "next best dlrm 0.7502" in text
    assert data.margin_share("mtgr", "click") is None


def test_nothing_is_fetched(tmp_path: Path) -> None:
    page = page_of(report(), tmp_path)
    source = (tmp_path / "report.html").read_text()
    assert not re.search(r"//|url\(|@import", source.replace("<!DOCTYPE html>", ""))
    assert not {"script", "link", "img", "iframe", "a"} & {tag for tag, _ in page.tags}
    assert not {"src", "href"} & {name for _, attributes in page.tags for name in attributes}


def test_text_is_escaped(tmp_path: Path) -> None:
    nasty = "</title><script>alert('1 & \"2\"')</script>"
    every = {nasty: {nasty: quality(0.7)}}
    page = page_of(
        report(
            title=nasty,
            machine=nasty,
            versions={nasty: nasty},
            quality=every,
            calibration={nasty: [CalibrationBin(0.1, 0.1, 10)]},
            stages={nasty: 1.0},
            epochs=[EpochPoint(1, {nasty: 0.7})],
        ),
        tmp_path,
    )
    assert "script" not in {tag for tag, _ in page.tags}
    assert page.text.count(nasty) > 10


def test_charts_have_names_and_descriptions(tmp_path: Path) -> None:
    page = page_of(report(), tmp_path)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    charts = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert len(charts) == 8
    for attributes in charts:
        assert attributes["role"] == "img"
        assert set((attributes["aria-labelledby"] or "").split()) <= set(ids)


def test_every_colour_is_set_for_light_and_dark() -> None:
    used = set(re.findall(r"var\((--\w+)\)", CSS))
    light, dark = (
        set(re.findall(r"(--\w+):", block))
        for block in re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
    )
    assert used <= light
    assert light == dark


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": [LossPoint(1, 10, 0.5)], "epochs": []},
        {"steps": [LossPoint(k, 10 * k, 0.5) for k in range(1, 2000)]},
        {"epochs": [EpochPoint(3, {"click": math.nan})]},
        {"calibration": {"click": [], "order": [CalibrationBin(0.0, 0.0, 5)]}},
        {"quality": {"mtgr": {"click": quality(math.nan, math.nan), "order": quality(0.4, None)}}},
        {"serving": Serving(requests=1, p50_ms=3, p99_ms=3, latencies_ms=[3], max_abs_diff=0)},
        {
            "facts": DataFacts(
                exposures=0,
                user_rows=0,
                compression=0,
                tokens=0,
                lengths=Lengths(mean=1, p50=1, p99=1, max=1, edges=[1, 2], counts=[0]),
            )
        },
        {"stages": {}, "versions": {}},
    ],
)
def test_the_thinnest_run_has_a_page(tmp_path: Path, changes: dict[str, Any]) -> None:
    page = page_of(report(**changes), tmp_path)
    for _, attributes in page.tags:
        for name in ("x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "width", "height", "points"):
            assert not re.search("nan|inf", attributes.get(name) or "")


def test_dots_stand_at_their_values() -> None:
    values = {"mtgr": 0.78, "rate": 0.60}
    figure = gauc_dots("click", {n: quality(v) for n, v in values.items()}, 0.82, "mtgr")
    dots = [float(e.get("cx", "")) for e in figure.iter("circle")]
    (oracle,) = found(figure, "line", "limit")
    (chance,) = found(figure, "line", "axis")
    start, end = float(chance.get("x1", "")), float(oracle.get("x1", ""))
    for x, value in zip(dots, values.values(), strict=True):
        assert (x - start) / (end - start) == pytest.approx((value - 0.5) / 0.32, abs=0.002)


def test_a_calibrated_bin_is_on_the_diagonal() -> None:
    bins = [CalibrationBin(p, p, 100) for p in (0.1, 0.35)] + [CalibrationBin(0.2, 0.3, 100)]
    places = [
        (
            (float(e.get("cx", "")) - LEFT) / (RIGHT - LEFT),
            (BOTTOM - float(e.get("cy", ""))) / (BOTTOM - TOP),
        )
        for e in calibration_plot("click", bins).iter("circle")
    ]
    assert places[0][0] == pytest.approx(places[0][1], abs=0.002)
    assert places[1][0] == pytest.approx(places[1][1], abs=0.002)
    assert places[2][1] == pytest.approx(1.5 * places[2][0], abs=0.003)


def test_bars_are_as_high_as_their_counts() -> None:
    figure = histogram(
        "Lengths", [1, 10, 100, 1000], [10, 40, 20], unit="tokens", what="rows", marks={"mean": 50}
    )
    heights = [float(e.get("height", "")) for e in found(figure, "rect", "bar")]
    widths = [float(e.get("width", "")) for e in found(figure, "rect", "bar")]
    assert heights[1] == pytest.approx(4 * heights[0], abs=0.5)
    assert heights[2] == pytest.approx(2 * heights[0], abs=0.5)
    assert max(widths) - min(widths) < 0.2


@given(st.floats(1e-3, 1e4), st.floats(1.0001, 1e6), st.booleans())
def test_axes_have_round_ticks_inside(low: float, factor: float, log: bool) -> None:
    axis = Axis(low, low * factor, 0, 100, log)
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= 14
    assert ticks == sorted(ticks)
    assert all(-1e-6 <= axis(tick) <= 100 + 1e-6 for tick in ticks)


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=50))
def test_bins_by_factors_hold_everything(values: list[int]) -> None:
    for array in (np.array(values), np.array(values, float)):
        edges, counts = bins_by_factors(array)
        assert sum(counts) == len(values)
        assert edges == sorted(set(edges))
        assert edges[0] > 0
        Lengths(mean=1, p50=1, p99=1, max=1, edges=edges, counts=counts)


def test_bins_by_factors_weigh() -> None:
    edges, counts = bins_by_factors(np.array([8, 100]), np.array([5, 7]))
    assert sum(counts) == 12
    assert counts[0] == 5
    assert edges[0] <= 8
    assert edges[-1] >= 100


def test_data_that_does_not_fit_is_refused() -> None:
    good = report()
    with pytest.raises(ValidationError, match="expected the tasks click, order"):
        report(quality=good.quality | {"dlrm": {"click": quality(0.7)}})
    with pytest.raises(ValidationError, match="oracle is none"):
        report(quality={"oracle": good.quality["oracle"], "mtgr": good.quality["mtgr"]})
    with pytest.raises(ValidationError, match="edges must ascend"):
        Lengths(mean=1, p50=1, p99=1, max=1, edges=[1, 2, 3], counts=[1])
    with pytest.raises(ValidationError, match="Extra inputs"):
        report(colour="red")


def test_a_failure_keeps_the_page_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    write_report(report(), path)
    before = path.read_text()

    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        write_report(report(title="Another"), path)
    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path]
