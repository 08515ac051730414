"""What a day's model is measured by, and what it must hold before it takes its predecessor's place.

    day       the model before it, on a new day, must not fall far below what it was: else it is
              the day that is damaged, and nobody should learn from it
    guess     where there is no model before it: on held-out users it must be better than a guess
    quality   on users who were held out, today and on the day before: not below the model before it

A gate is held by what is sure: `day` fails where a fall is sure, the others where a loss of more
than the margin cannot be ruled out (1.96 standard errors, drawn over users; differences paired).
"""

import math
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import ConfigDict, Field

from rayrank.data.ids import to_ids
from rayrank.metrics import QUALITY, Estimate, bootstrap_over_users, paired_differences
from rayrank.metrics.log_loss import log_loss, log_loss_difference
from rayrank.metrics.uncertainty import Z95
from rayrank.schema import Schema
from rayrank.strict import Positive, Strict

LOG_LOSS = "log_loss"
GATED = {"binary": "auc", "number": "rank_correlation"}
"""Kind of task -> the metric that gates look at, beside the log-loss of binary tasks."""


class GateConfig(Strict):
    """What a day's model, and the day, must hold."""

    quality: Annotated[float, Field(ge=0)] = 0.01
    """A day's model may lie so far below the one before it on held-out users, in AUC (of a task
    that is a number, in rank correlation), with 95 % certainty."""
    log_loss: Annotated[float, Field(ge=0)] = 0.02
    """And so far above it in log-loss, as a share of that one's."""
    day: Annotated[float, Field(ge=0)] = 0.05
    """The model before it may fall so far on a new day below what it and those before it were on
    theirs, in AUC; if it surely falls further, the day is not learned from."""
    look_back: Positive = 7
    """So many accepted days count for that."""
    samples: Positive = 200
    """Draws of users, for standard errors."""


class TaskMeasure(Strict):
    """A ranker on a task's known labels."""

    model_config = ConfigDict(ser_json_inf_nan="constants")

    known: int
    """Labels."""
    metrics: dict[str, Estimate]
    """`auc` and `gauc`, or `mae` and `rank_correlation`."""
    log_loss: float | None
    """Nats; None of a task that is a number."""
    predicted: float
    """Mean prediction."""
    observed: float
    """Mean label."""


GateName = Literal["finite", "day", "guess", "quality", "consistency"]


class Compared(NamedTuple):
    """A number that a gate looked at."""

    task: str
    metric: str
    day: str | None
    """Whose held-out users, of `quality`."""
    found: Estimate
    """Of `quality` the day's model minus the one before it."""
    bound: float
    """What is demanded: at least, of log-loss at most."""


class Gate(Strict):
    """A demand, and what was found."""

    model_config = ConfigDict(ser_json_inf_nan="constants")

    name: GateName
    passed: bool
    told: str
    """For a person, with figures."""
    compared: Compared | None = None
    """What was found as numbers, where it is one."""


class _Known(NamedTuple):
    """Known labels of a task: [n] each."""

    user: np.ndarray
    label: np.ndarray
    score: np.ndarray


def measured(scored: pa.Table, schema: Schema, samples: int) -> dict[str, TaskMeasure]:
    """Task -> what a table of scores (`predict`'s) is worth."""
    found = {}
    for task, of in schema.tasks.items():
        user, label, score = _known(scored, task)
        binary = of.kind == "binary"
        found[task] = TaskMeasure(
            known=len(label),
            metrics=bootstrap_over_users(user, label, score, of.kind, samples=samples),
            log_loss=log_loss(label, score) if binary else None,
            predicted=_mean(score),
            observed=_mean(label),
        )
    return found


def day_gates(
    today: dict[str, TaskMeasure],
    before: Sequence[dict[str, TaskMeasure]],
    schema: Schema,
    config: GateConfig,
) -> list[Gate]:
    """Of the model before, on a new day, against what models were on accepted days (`before`, the
    newest last), none of which they had learned from."""
    gates = []
    for task, of in schema.tasks.items():
        metric = GATED[of.kind]
        name = QUALITY[of.kind].names[metric]
        found = today[task].metrics[metric]
        usual = [d[task].metrics[metric].value for d in before[-config.look_back :] if task in d]
        usual = [value for value in usual if math.isfinite(value)]
        if not usual:
            continue  # a task that is new
        mean = float(np.mean(usual))
        high = found.high if math.isfinite(found.high) else found.value
        told = (
            f"{task}: {name} {_shown(found)} of the model before on this day; {mean:.4f} on the "
            f"{len(usual)} before it, and {mean - config.day:.4f} is demanded"
        )
        # NaN, of a day with one class alone, passes nothing.
        held = high >= mean - config.day
        gates.append(
            _gate("day", held, told, Compared(task, metric, None, found, mean - config.day))
        )
    return gates


def guess_gates(held_out: dict[str, TaskMeasure], schema: Schema) -> list[Gate]:
    """Of a first model, on users it did not learn from."""
    gates = []
    for task, of in schema.tasks.items():
        metric = GATED[of.kind]
        chance = QUALITY[of.kind].chance
        found = held_out[task].metrics[metric]
        told = (
            f"{task}: {QUALITY[of.kind].names[metric]} {_shown(found)} on held-out users; a guess "
            f"has {chance:g}"
        )
        held = found.low > chance
        gates.append(_gate("guess", held, told, Compared(task, metric, None, found, chance)))
    return gates


def quality_gates(
    day: str, before: pa.Table, after: pa.Table, schema: Schema, config: GateConfig
) -> list[Gate]:
    """Of a day's model (`after`) against the one before it, on the same candidates in the same
    order: those of a day's held-out users, whom neither learned from there."""
    gates, where = [], f"held-out users of {day}"
    for task, of in schema.tasks.items():
        one, other = _known(before, task), _known(after, task)
        metric = GATED[of.kind]
        scores = {"before": one.score, "after": other.score}
        apart = paired_differences(
            one.user, one.label, scores, "before", of.kind, samples=config.samples
        )["after"][metric]
        told = (
            f"{task}, {where}: {QUALITY[of.kind].names[metric]} {_shown(apart, '+')} against the "
            f"model before; {-config.quality:+.4f} is demanded of its lower end"
        )
        compared = Compared(task, metric, day, apart, -config.quality)
        gates.append(_gate("quality", apart.low >= -config.quality, told, compared))
        if of.kind != "binary":
            continue
        base = log_loss(one.label, one.score)
        loss = log_loss_difference(
            one.user, one.label, other.score, one.score, samples=config.samples
        )
        told = (
            f"{task}, {where}: log-loss {_shown(loss, '+')} against {base:.4f} of the model "
            f"before; {config.log_loss * base:+.4f} is demanded of its upper end"
        )
        most = config.log_loss * base
        gates.append(
            _gate("quality", loss.high <= most, told, Compared(task, LOG_LOSS, day, loss, most))
        )
    return gates


def _gate(name: GateName, held: bool, told: str, compared: Compared) -> Gate:
    return Gate(name=name, passed=bool(held), told=told, compared=compared)


def _known(scored: pa.Table, task: str) -> _Known:
    label = scored[f"label.{task}"].to_numpy()
    known = ~np.isnan(label)
    user = to_ids(scored["user"].combine_chunks(), "user").to_numpy()
    return _Known(user[known], label[known], scored[f"p.{task}"].to_numpy()[known])


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _shown(estimate: Estimate, sign: Literal["", "+"] = "") -> str:
    return f"{estimate.value:{sign}.4f} ± {Z95 * estimate.standard_error:.4f}"
