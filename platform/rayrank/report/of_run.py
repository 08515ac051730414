"""A report from what a run left behind."""

import os
import platform as machine
import shlex
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np
import yaml

from rayrank.config import RunConfig
from rayrank.data.row_stats import RowStats
from rayrank.report.data import (
    DataFacts,
    EpochPoint,
    Lengths,
    LossPoint,
    ReportData,
    Serving,
    TaskQuality,
    bins_by_factors,
)
from rayrank.serve.check import Checked
from rayrank.train.progress import EPOCHS, STEPS, read_progress

VERSIONS = ("rayrank", "torch", "torchrec", "fbgemm-gpu-cpu", "ray")


def report_of_run(
    config: RunConfig,
    title: str,
    stats: RowStats,
    results: dict[str, Any],
    checked: Checked,
    seconds: dict[str, float],
) -> ReportData:
    """results: `evaluate.run.evaluate`'s; seconds: of each stage."""
    folder = config.run_dir / "rankers" / config.ranker(None)[0]
    steps = read_progress(folder / STEPS)
    trained = np.cumsum([step["tokens"] for step in steps])
    lengths = np.array(list(stats.length_counts))
    edges, counts = bins_by_factors(lengths, np.array(list(stats.length_counts.values())))
    served = checked.summary()
    return ReportData(
        title=title,
        when=datetime.now(UTC),
        machine=f"{machine.machine()}, {os.cpu_count()} cores, Python {sys.version.split()[0]}",
        command=shlex.join(["python", *sys.argv]),
        config=yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False),
        seeds={name: ranker.train.seed for name, ranker in config.rankers.items()},
        versions={name: version(name) for name in VERSIONS},
        facts=DataFacts(
            exposures=stats.exposures,
            user_rows=stats.rows,
            tokens=stats.tokens,
            compression=stats.exposures / stats.rows,
            lengths=Lengths(**stats.length_summary(), edges=edges, counts=counts),
        ),
        steps=[
            LossPoint(step["step"], int(tokens), step["loss"])
            for step, tokens in zip(steps, trained, strict=True)
        ],
        epochs=[
            EpochPoint(e["step"], {task: m["gauc"] for task, m in e["metrics"].items()})
            for e in read_progress(folder / EPOCHS)
            if e["metrics"]
        ],
        quality={
            name: {task: TaskQuality(**q) for task, q in quality.items()}
            for name, quality in (results["rankers"] | results["baselines"]).items()
        },
        differences={},
        slices={},
        calibration=results["calibration"],
        serving=Serving(
            requests=checked.requests,
            p50_ms=served["p50_ms"],
            p99_ms=served["p99_ms"],
            latencies_ms=checked.latencies_ms,
            max_abs_diff=checked.max_abs_diff,
        ),
        stages=seconds,
    )
