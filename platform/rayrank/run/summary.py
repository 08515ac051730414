"""What a run comes to: one type, one JSON file, one table."""

from pydantic import ConfigDict
from rich.table import Table

from rayrank.data.row_stats import RowStats
from rayrank.evaluate.results import Evaluation
from rayrank.run.run import Run
from rayrank.serve.check import Checked
from rayrank.storage import write_whole
from rayrank.strict import Strict
from rayrank.train.finished import JOURNAL
from rayrank.train.journal import StepLine, read_story


class DataSummary(Strict):
    """The user rows."""

    source: str
    exposures: int
    user_rows: int
    compression: float
    """Exposures to one row."""
    tokens: int
    lengths: dict[str, float]
    """Tokens per row: mean, p50, p99, max."""
    labels: dict[str, str]
    """Task -> how many are positive, and how many are not known."""


class TrainSummary(Strict):
    """One training run."""

    workers: int
    steps: int
    tokens_per_s: float
    """Without the first step, which also allocates."""
    waiting_share: float
    """Of the time of those steps, what rank 0 had no batch to train on."""


class ServeSummary(Strict):
    """The bundle over HTTP."""

    version: str
    requests: int
    p50_ms: float
    p99_ms: float
    max_abs_diff: float


class Summary(Strict):
    """A whole run."""

    model_config = ConfigDict(ser_json_inf_nan="constants")

    data: DataSummary
    train: dict[str, TrainSummary]
    """By ranker."""
    evaluation: Evaluation
    serve: ServeSummary
    seconds: dict[str, float]
    """Of each stage."""


def summarize(run: Run, stats: RowStats, evaluation: Evaluation, checked: Checked) -> Summary:
    """Write `summary.json`."""
    summary = Summary(
        data=DataSummary(
            source=run.config.data.source,
            exposures=stats.exposures,
            user_rows=stats.rows,
            compression=stats.exposures / stats.rows,
            tokens=stats.tokens,
            lengths=stats.length_summary(),
            labels=stats.labels_in_words(),
        ),
        train={name: _training(run, name) for name in run.config.rankers},
        evaluation=evaluation,
        serve=ServeSummary(
            version=checked.version,
            requests=checked.requests,
            p50_ms=checked.latency_ms(0.5),
            p99_ms=checked.latency_ms(0.99),
            max_abs_diff=checked.max_abs_diff,
        ),
        seconds=run.seconds(),
    )
    write_whole(run.folder.summary, summary.model_dump_json(indent=1))
    return summary


def _training(run: Run, name: str) -> TrainSummary:
    steps = read_story(run.trained(name).folder / JOURNAL).steps
    return TrainSummary(
        workers=run.config.rankers[name].train.workers,
        steps=steps[-1].step,
        tokens_per_s=tokens_per_s(steps),
        waiting_share=waiting_share(steps),
    )


def tokens_per_s(steps: list[StepLine]) -> float:
    """Without the first step, which also allocates, where there is another."""
    timed = steps[1:] or steps
    return sum(s.tokens for s in timed) / sum(s.seconds for s in timed)


def waiting_share(steps: list[StepLine]) -> float:
    """Of the same steps' time, what was waited for batches."""
    timed = steps[1:] or steps
    return sum(s.waited_s for s in timed) / sum(s.seconds for s in timed)


def summary_table(summary: Summary) -> Table:
    """The one table at the end."""
    data, found, served = summary.data, summary.evaluation, summary.serve
    table = Table(title="rayrank: what this run found", show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column()
    table.add_row(
        "data",
        f"{data.exposures:,} exposures in {data.user_rows:,} user rows "
        f"({data.compression:.1f} to one), {data.tokens:,} tokens",
    )
    table.add_row("lengths", ", ".join(f"{k} {v:,.0f}" for k, v in data.lengths.items()))
    for task, told in data.labels.items():
        table.add_row(f"{task} labels", told)
    for name, training in summary.train.items():
        table.add_row(
            name,
            f"{training.workers} workers, {training.steps:,} steps, "
            f"{training.tokens_per_s:,.0f} tokens/s, {training.waiting_share:.1%} of the time "
            "waiting for batches",
        )
    for task, quality in found.rankers[found.served].items():
        own = ", ".join(
            f"{metric} {quality[key].value:.3f}" for key, metric in quality.names.items()
        )
        beside = ", ".join(
            f"{name} {other[task].compared.value:.3f}"
            for name, other in found.everyone.items()
            if name != found.served
        )
        table.add_row(task, f"{found.served} {own} ({beside})")
    table.add_row(
        "serving",
        f"{served.requests} requests, p50 {served.p50_ms:.1f} ms, p99 {served.p99_ms:.1f} ms; "
        f"largest difference from the trainer's scores {served.max_abs_diff:.1e}",
    )
    table.add_row("seconds", ", ".join(f"{k} {v:.0f}" for k, v in summary.seconds.items()))
    return table
