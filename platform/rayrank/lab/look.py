"""What the page shows of lines: chosen, and as estimates."""

import math
from collections.abc import Sequence
from typing import Any

from rayrank.lab.measure import EVERYONE
from rayrank.lab.power_law import STEEPEST
from rayrank.lab.results import CostLine, Line, SizeLine
from rayrank.metrics import QUALITY, Estimate, Quality
from rayrank.metrics.uncertainty import Z95
from rayrank.report.numbers import amount, rate

MORE = {
    "log_loss": "log-loss",
    "normalised_entropy": "normalised entropy",
    "calibration": "predicted / observed",
}
"""Metrics that are shown beside those that rankers are compared by, and what people call them."""


def is_of(line: Line, data: str, task: str, metric: str) -> bool:
    """Whether a line is a metric over all exposures."""
    return (line.data, line.task, line.metric, line.slice) == (data, task, metric, EVERYONE)


def tasks(lines: Sequence[Line]) -> list[tuple[str, str]]:
    """Logs and their tasks."""
    return list(dict.fromkeys((line.data, line.task) for line in lines))


def models(lines: Sequence[Line], data: str) -> list[str]:
    """Of a log, in their order."""
    return list(dict.fromkeys(line.model for line in lines if line.data == data))


def line_of(lines: Sequence[Line], data: str, model: str, task: str, metric: str) -> Line | None:
    """Over all exposures; None where it was not measured."""
    return next((x for x in lines if x.model == model and is_of(x, data, task, metric)), None)


def compared_key(lines: Sequence[Line], data: str, task: str) -> str:
    """The metric that rankers are compared by on a task."""
    has = {x.metric for x in lines if (x.data, x.task) == (data, task)}
    return next(q.compared_by for q in QUALITY.values() if q.compared_by in has)


def names_of(lines: Sequence[Line], data: str, task: str) -> dict[str, str]:
    """Of a task's kind, the metrics and what people call them."""
    key = compared_key(lines, data, task)
    return next(kind.names for kind in QUALITY.values() if key in kind.names)


def quality_of(lines: Sequence[Line], data: str, model: str, task: str) -> Quality:
    """A model's metrics on a task, with their errors."""
    key = compared_key(lines, data, task)
    kind: Any = next(kind for kind in QUALITY.values() if key in kind.names)
    of = {}
    for metric in kind.names:
        line = line_of(lines, data, model, task, metric)
        of[metric] = (
            Estimate(math.nan, math.nan) if line is None else Estimate(line.mean, line.error)
        )
    quality: Quality = kind(**of)
    return quality


def difference(lines: Sequence[Line], data: str, model: str, task: str, metric: str) -> Estimate:
    """To the subject."""
    line = line_of(lines, data, model, task, metric)
    return Estimate(math.nan, math.nan) if line is None else estimate(line.difference, line.low)


def estimate(value: float, low: float) -> Estimate:
    """From a value and the lower end of its interval."""
    return Estimate(value, (value - low) / Z95)


def exponent(value: float, low: float, high: float) -> str:
    """Of a law, with its interval; in words, where other users and seeds may have any."""
    if min(-low, high) > 0.99 * STEEPEST:  # a fit comes near its bounds, and not to them
        return "not told by these sizes"
    return f"{value:.2f} [{low:.2f}, {high:.2f}]".replace("-", "−")


def cell(lines: Sequence[Line], data: str, model: str, task: str, metric: str) -> str:
    """Mean and deviation over seeds."""
    line = line_of(lines, data, model, task, metric)
    if line is None or math.isnan(line.mean):
        return "–"
    return rate(line.mean) if math.isnan(line.std) else f"{line.mean:.4f} ± {line.std:.4f}"


def size_cells(line: SizeLine) -> list[str]:
    """Of a table of sizes, all but the gain."""
    return [
        f"{line.data}, {line.task}: {line.family}",
        line.size,
        amount(line.flops_per_row / 1e6),
        amount(line.dense_parameters),
        amount(line.sparse_parameters),
        f"{line.mean:.4f} ± {line.std:.4f}",
    ]


def cost_cells(line: CostLine) -> list[str]:
    """Of a table of costs."""
    return [
        f"{line.data}, {line.model}",
        amount(line.dense_parameters),
        amount(line.sparse_parameters),
        amount(line.flops_per_row / 1e6),
        amount(line.flops_per_candidate / 1e6),
        amount(line.train_tokens_per_s),
        amount(line.serving_ms_100),
        amount(line.serving_ms_1000),
    ]
