"""A run's report data, to be changed where a test wants it otherwise."""

from datetime import UTC, datetime
from typing import Any

from rayrank.metrics import BinaryQuality, CalibrationBin, Estimate, Slice
from rayrank.report import ReportData
from rayrank.report.data import (
    DataFacts,
    EpochPoint,
    Lengths,
    LossPoint,
    Serving,
)

GAUC = {"mtgr": 0.7821, "dlrm": 0.7502, "lightgbm": 0.7401, "item_rate": 0.6113, "oracle": 0.8140}


def quality(gauc: float, error: float = 0.0031) -> BinaryQuality:
    return BinaryQuality(auc=Estimate(gauc + 0.02, error), gauc=Estimate(gauc, error))


def difference(value: float, error: float = 0.0011) -> BinaryQuality:
    return BinaryQuality(auc=Estimate(value + 0.0007, error), gauc=Estimate(value, error))


def part(name: str, users: int, exposures: int, *quality: Estimate) -> Slice:
    """Of a binary task: AUC, GAUC."""
    return Slice(name, users, exposures, BinaryQuality(*quality))


def slices(gauc: float) -> list[Slice]:
    new = Estimate(gauc - 0.0501, 0.02), Estimate(gauc - 0.06, 0.02)
    some = Estimate(gauc + 0.0203, 0.003), Estimate(gauc, 0.003)
    return [part("new users (0)", 41, 1234, *new), part("1–9", 977, 23_456, *some)]


def report(**changes: Any) -> ReportData:
    content: dict[str, Any] = {
        "title": "A run",
        "when": datetime(2026, 6, 1, 9, 30, tzinfo=UTC),
        "machine": "two cores",
        "command": "python jobs/demo.py data.partitions=8",
        "config": "run_dir: runs/demo\ndata:\n  source: simulate\n",
        "seeds": {"mtgr": 41, "dlrm": 42},
        "versions": {"torch": "2.13.0"},
        "facts": DataFacts(
            exposures=168_431,
            user_rows=12_450,
            compression=13.53,
            tokens=943_465,
            elements={"static_clicks": 503_211, "realtime_clicks": 40_017},
            complete_until="2026-03-11 15:59:58 UTC",
            labels={
                "click": "28,633 positive of 168,431",
                "order": "6,431 positive of 168,320, 111 not known",
            },
            lengths=Lengths(
                mean=76.2,
                p50=53,
                p99=519,
                max=2694,
                edges=[8, 64, 512, 4096],
                counts=[7001, 5002, 447],
            ),
        ),
        "steps": [LossPoint(k + 1, 2900 * (k + 1), 0.7 / (k + 1)) for k in range(5)],
        "epochs": [
            EpochPoint(2, {"click": 0.7111, "order": 0.6999}),
            EpochPoint(5, {"click": 0.7777, "order": 0.7666}),
        ],
        "quality": {
            name: {"click": quality(g), "order": quality(g - 0.01)} for name, g in GAUC.items()
        },
        "differences": {
            name: {
                "click": difference(g - GAUC["mtgr"]),
                "order": difference((g - GAUC["mtgr"]) / 50),
            }
            for name, g in GAUC.items()
            if name != "mtgr"
        },
        "slices": {
            name: {"click": slices(GAUC[name]), "order": slices(GAUC[name] - 0.01)}
            for name in ("mtgr", "dlrm")
        },
        "calibration": {
            "click": [CalibrationBin(0.0512, 0.0534, 1500), CalibrationBin(0.4012, 0.3987, 1499)],
            "order": [CalibrationBin(0.0612, 0.0598, 2999)],
        },
        "serving": Serving(
            requests=4,
            p50_ms=11.25,
            p99_ms=31.75,
            max_abs_diff=2.34e-7,
            latencies_ms=[9.87, 10.5, 12.0, 32.1],
        ),
        "stages": {"build": 14.2, "train": 72.4},
    }
    return ReportData.model_validate(content | changes)
