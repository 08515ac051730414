"""The page of a run with a task that is a number."""

from pathlib import Path

from rayrank.metrics import CalibrationBin, Estimate, NumberQuality, Slice
from rayrank.report.data import EpochPoint

from .sample import difference, part, quality, report
from .test_page import page_of


def test_a_number_is_told_in_its_own_metrics(tmp_path: Path) -> None:
    watched = {
        "mtgr": NumberQuality(Estimate(41.5, 0.5), Estimate(0.5678, 0.01)),
        "item_rate": NumberQuality(Estimate(52.25, 0.75), Estimate(0.1234, 0.01)),
    }
    apart = NumberQuality(Estimate(10.75, 0.5), Estimate(-0.4444, 0.01))
    data = report(
        quality={name: {"click": quality(0.7), "watched": watched[name]} for name in watched},
        differences={"item_rate": {"click": difference(-0.1), "watched": apart}},
        slices={
            "mtgr": {
                "click": [part("1–9", 3, 9, Estimate(0.7, 0.1), Estimate(0.71, 0.1))],
                "watched": [Slice("1–9", 3, 9, watched["mtgr"])],
            }
        },
        calibration={"click": [CalibrationBin(0.1, 0.1, 10)]},
        epochs=[EpochPoint(2, {"click": 0.7, "watched": 0.4321})],
    )
    words = " ".join(page_of(data, tmp_path).text.split())
    assert "watched rank correlation 0.5678 mtgr; next best item_rate 0.1234" in words
    assert "mtgr 41.5000 ± 0.9800 0.5678 ± 0.0196" in words
    assert "item_rate +10.7500 ± 0.9800 −0.4444 ± 0.0196 worse" in words
    assert "rank correlation, from chance (0) up" in words
    assert "difference of rank correlation" in words
    assert "GAUC and rank correlation on later data should rise" in words
    assert "Rank correlation on later data" in words
    assert "Spearman" in words
    assert "Spearman" not in page_of(report(), tmp_path).text
