"""The report of a run, from what its stages left behind."""

import os
import platform as machine
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from rayrank.data.row_stats import RowStats, read_stats
from rayrank.errors import VersionError
from rayrank.evaluate.results import Evaluation
from rayrank.evaluate.run import read_evaluation
from rayrank.metrics import QUALITY
from rayrank.report.data import (
    DataFacts,
    EpochPoint,
    Lengths,
    LossPoint,
    ReportData,
    Serving,
    bins_by_factors,
)
from rayrank.report.page import write_report
from rayrank.run.promotion import read_check
from rayrank.run.run import Run
from rayrank.run.terminal import say
from rayrank.serve.check import Checked
from rayrank.train.finished import JOURNAL
from rayrank.train.journal import read_story
from rayrank.versions import CURRENT, named_version

VERSIONS = ("rayrank", "torch", "torchrec", "fbgemm-gpu-cpu", "fbgemm-gpu", "ray")


def report(run: Run) -> None:
    """Write `report.html`. VersionError says which stage has not run."""
    served = named_version(run.folder.bundles, CURRENT)
    evaluation = read_evaluation(run.folder.evaluations)
    checked = read_check(run, served) if served is not None else None
    if evaluation is None or checked is None:
        missing = "jobs/evaluate.py" if evaluation is None else "jobs/check.py and jobs/promote.py"
        raise VersionError(f"{run.folder}: nothing to report yet; run {missing}")
    data = report_data(run, read_stats(run.rows()), evaluation, checked)
    write_report(data, run.folder.report)
    say(f"report   {run.folder.report}")


def report_data(run: Run, stats: RowStats, evaluation: Evaluation, checked: Checked) -> ReportData:
    """What the page shows."""
    _, schema = run.open_log()
    story = read_story(
        run.folder.ranker(evaluation.served) / evaluation.versions[evaluation.served] / JOURNAL
    )
    trained = np.cumsum([step.tokens for step in story.steps])
    lengths = np.array(list(stats.length_counts))
    edges, counts = bins_by_factors(lengths, np.array(list(stats.length_counts.values())))
    seeds = {name: ranker.train.seed for name, ranker in run.config.rankers.items()}
    if run.config.data.source == "simulate":
        seeds = {"simulated log": run.config.data.simulate.seed} | seeds
    return ReportData(
        title=f"rayrank on {schema.name.replace('_', ' ')}",
        when=datetime.now(UTC),
        machine=f"{machine.machine()}, {os.cpu_count()} cores, Python {sys.version.split()[0]}",
        command=run.folder.command.read_text().strip(),
        config=run.folder.config.read_text(),
        seeds=seeds,
        versions=_installed()
        | {"user rows": evaluation.rows, "bundle": checked.version}
        | {f"ranker {name}": v for name, v in evaluation.versions.items()},
        facts=DataFacts(
            exposures=stats.exposures,
            user_rows=stats.rows,
            tokens=stats.tokens,
            compression=stats.exposures / stats.rows,
            elements=stats.elements,
            complete_until=stats.complete_until(),
            labels=stats.labels_in_words(),
            lengths=Lengths(**stats.length_summary(), edges=edges, counts=counts),
        ),
        steps=[
            LossPoint(step.step, int(tokens), step.loss)
            for step, tokens in zip(story.steps, trained, strict=True)
        ],
        epochs=[
            EpochPoint(
                epoch.step,
                {task: m[QUALITY[schema.tasks[task].kind].compared_by] for task, m in metrics},
            )
            for epoch in story.epochs
            if (metrics := epoch.metrics.items())
        ],
        quality=evaluation.everyone,
        differences=evaluation.differences,
        slices=evaluation.slices,
        calibration=evaluation.calibration,
        serving=Serving(
            requests=checked.requests,
            p50_ms=checked.latency_ms(0.5),
            p99_ms=checked.latency_ms(0.99),
            latencies_ms=checked.latencies_ms,
            max_abs_diff=checked.max_abs_diff,
        ),
        stages=run.seconds(),
    )


def _installed() -> dict[str, str]:
    found = {}
    for name in VERSIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # the other build of fbgemm
            continue
    return found
