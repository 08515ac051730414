"""The page: every number is there, well formed, self-contained, readable on any screen."""

import math
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rayrank.metrics import CalibrationBin, Estimate
from rayrank.report import ReportData, write_report
from rayrank.report.data import DataFacts, EpochPoint, Lengths, LossPoint, Serving
from rayrank.report.style import CSS

from .sample import difference, part, quality, report

VOID = {"meta", "br", "hr", "img", "input", "link"}


class Page(HTMLParser):
    """Checks that tags balance while it collects text and attributes."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.classes: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.tables_that_scroll = self.tables = 0
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs)
        self.tags.append((tag, dict(attrs)))
        self.tables += tag == "table"
        self.tables_that_scroll += tag == "table" and self.classes[-1:] == ["scrolling"]
        if tag not in VOID:
            self.open.append(tag)
            self.classes.append(dict(attrs).get("class") or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        self.classes.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data + "\n"


def page_of(data: ReportData, folder: Path) -> Page:
    write_report(data, folder / "report.html")
    return Page((folder / "report.html").read_text())


def test_every_number_is_on_the_page(tmp_path: Path) -> None:
    data = report()
    text = page_of(data, tmp_path).text
    rates = [
        q[metric].value
        for ranker in data.quality.values()
        for q in ranker.values()
        for metric in ("auc", "gauc")
    ]
    rates += [
        each.quality[metric].value
        for ranker in data.slices.values()
        for parts in ranker.values()
        for each in parts
        for metric in ("gauc", *(["auc"] if ranker is data.slices["mtgr"] else []))
    ]
    rates += [s.loss for s in data.steps] + [v for e in data.epochs for v in e.metrics.values()]
    bins = [b for bins in data.calibration.values() for b in bins]
    rates += [rate for b in bins for rate in (b.predicted, b.observed)]
    counts = [b[2] for b in bins] + data.facts.lengths.counts + [s.tokens for s in data.steps]
    expected = [f"{rate:.4f}" for rate in rates] + [f"{count:,}" for count in counts]
    expected += ["41", "977", "1,234", "23,456", "new users (0)", "1–9"]
    expected += ["168,431", "12,450", "13.53", "943,465", "76.2", "53", "519", "2,694"]
    expected += ["11.25 ms", "31.75 ms", "9.87 ms", "32.10 ms", "2.34e-07"]
    expected += ["14.2 s", "72.4 s", "86.6 s", "2.13.0", "2026-06-01 09:30 UTC", "two cores"]
    assert [number for number in expected if number not in text] == []


def test_every_margin_is_half_of_a_95_percent_interval(tmp_path: Path) -> None:
    text = page_of(report(), tmp_path).text
    for error in (0.0031, 0.0011, 0.02, 0.003):
        assert f"± {1.96 * error:.4f}" in text
        assert f"± {error:.4f}" not in text
    observed = 1.96 * math.sqrt(0.0534 * (1 - 0.0534) / 1500)
    assert f"± {observed:.4f}" in text


def test_differences_say_which_is_better(tmp_path: Path) -> None:
    values = {"worse": -0.0123, "even": 0.0021, "better": 0.0456}
    data = report(
        quality={name: {"click": quality(0.7)} for name in ("mtgr", *values)},
        differences={name: {"click": difference(value)} for name, value in values.items()},
        slices={},
        calibration={},
        epochs=[],
    )
    words = " ".join(page_of(data, tmp_path).text.split())
    words = words[words.index("click, minus mtgr on the same draws") :]
    assert "worse −0.0116 ± 0.0022 −0.0123 ± 0.0022 worse" in words
    assert "even +0.0028 ± 0.0022 +0.0021 ± 0.0022 undecided" in words
    assert "better +0.0463 ± 0.0022 +0.0456 ± 0.0022 better" in words


def test_the_page_says_how_it_was_made(tmp_path: Path) -> None:
    data = report()
    page = page_of(data, tmp_path)
    assert data.command in page.text
    assert data.config in page.text
    words = " ".join(page.text.split())
    assert "mtgr 41 dlrm 42" in words
    assert "torch 2.13.0" in words
    assert [tag for tag, _ in page.tags].count("pre") == 2


def test_words_are_only_of_what_is_there(tmp_path: Path) -> None:
    assert "GAUC on later data should rise" in page_of(report(), tmp_path).text
    assert "later data" not in page_of(report(epochs=[]), tmp_path).text
    for words, field in {"Paired differences": "differences", "Slices": "slices"}.items():
        assert words in page_of(report(), tmp_path).text
        assert words not in page_of(report(**{field: {}}), tmp_path).text


def test_the_share_of_the_oracles_margin(tmp_path: Path) -> None:
    assert "89.8% of the oracle's margin" in page_of(report(), tmp_path).text


def test_a_real_log_has_no_oracle(tmp_path: Path) -> None:
    good = report()
    rankers, differences = (
        {name: q for name, q in every.items() if name != "oracle"}
        for every in (good.quality, good.differences)
    )
    text = page_of(report(quality=rankers, differences=differences), tmp_path).text
    assert "oracle" not in text
    assert "share" not in text
    assert "next best dlrm 0.7502" in text


def test_tables_scroll_by_themselves(tmp_path: Path) -> None:
    """Each in a frame of its own that the keyboard reaches, with its caption outside."""
    page = page_of(report(), tmp_path)
    assert page.tables == page.tables_that_scroll > 10
    frames = [a for _, a in page.tags if a.get("class") == "scrolling"]
    assert all(a["tabindex"] == "0" and a["role"] == "region" for a in frames)
    assert "caption" not in {tag for tag, _ in page.tags}
    assert re.search(r"\.scrolling \{ overflow-x: auto", CSS)


def test_nothing_is_fetched(tmp_path: Path) -> None:
    page = page_of(report(), tmp_path)
    source = (tmp_path / "report.html").read_text()
    assert not re.search(r"//|url\(|@import", source.replace("<!DOCTYPE html>", ""))
    assert not {"script", "link", "img", "iframe", "a"} & {tag for tag, _ in page.tags}
    assert not {"src", "href"} & {name for _, attributes in page.tags for name in attributes}


def test_text_is_escaped(tmp_path: Path) -> None:
    nasty = "</title><script>alert('1 & \"2\"')</script>"
    every = {name: {nasty: quality(0.7)} for name in (nasty, nasty + "2")}
    page = page_of(
        report(
            title=nasty,
            machine=nasty,
            command=nasty,
            config=nasty,
            seeds={nasty: 1},
            versions={nasty: nasty},
            quality=every,
            differences={nasty + "2": {nasty: difference(0.1)}},
            slices={nasty: {nasty: [part(nasty, 1, 2, Estimate(0.5, 0.1), Estimate(0.5, 0.1))]}},
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
    assert len(charts) == 12 + 4
    charts = [attributes for attributes in charts if "aria-hidden" not in attributes]
    assert len(charts) == 12
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
        {"epochs": [EpochPoint(3, {"click": math.nan, "order": 0.7})]},
        {"calibration": {"click": [], "order": [CalibrationBin(0.0, 0.0, 5)]}},
        {
            "quality": {
                "mtgr": {"click": quality(math.nan, math.nan), "order": quality(0.4, math.nan)}
            },
            "differences": {},
            "slices": {},
        },
        {
            "differences": {
                "dlrm": {"click": difference(math.nan, math.nan), "order": difference(0.0, 0.0)}
            }
        },
        {
            "slices": {
                "mtgr": {
                    "click": [part("1–9", 1, 2, *[Estimate(math.nan, math.nan)] * 2)],
                    "order": [part("1–9", 1, 2, *[Estimate(0.7, math.nan)] * 2)],
                }
            }
        },
        {"slices": {"mtgr": {"click": [], "order": []}}},
        {"serving": Serving(requests=1, p50_ms=3, p99_ms=3, latencies_ms=[3], max_abs_diff=0)},
        {
            "facts": DataFacts(
                exposures=0,
                user_rows=0,
                compression=0,
                tokens=0,
                elements={},
                complete_until="never",
                labels={},
                lengths=Lengths(mean=1, p50=1, p99=1, max=1, edges=[1, 2], counts=[0]),
            )
        },
        {"stages": {}, "versions": {}, "seeds": {}, "command": "", "config": ""},
    ],
)
def test_the_thinnest_run_has_a_page(tmp_path: Path, changes: dict[str, Any]) -> None:
    page = page_of(report(**changes), tmp_path)
    for _, attributes in page.tags:
        for name in ("x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "width", "height", "points"):
            assert not re.search("nan|inf", attributes.get(name) or "")


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


LOOKED_AT = Path(__file__).with_name("looked_at.html")
"""The sample's page when a person last looked at it, on screens of 390, 768 and 1,280 pixels,
light and dark."""
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def test_the_page_is_the_one_that_was_looked_at(tmp_path: Path) -> None:
    """A line a pixel off is seen by no rule: whoever moves one looks, and keeps the new page."""
    write_report(report(), tmp_path / "report.html")
    # Charts are numbered through all the pages that a process makes.
    found, kept = (
        re.sub(r"chart\d+", "chart", path.read_text())
        for path in (tmp_path / "report.html", LOOKED_AT)
    )
    said = f"look at {tmp_path / 'report.html'}"
    assert NUMBER.sub("0", found) == NUMBER.sub("0", kept), said
    # Places are rounded to tenths, and which way depends on a machine's mathematics library.
    now, then = (np.array(NUMBER.findall(page), float) for page in (found, kept))
    places = np.array([len(number.partition(".")[2]) for number in NUMBER.findall(kept)])
    assert (abs(now - then) <= np.where(places < 2, 0.101, 0)).all(), said
