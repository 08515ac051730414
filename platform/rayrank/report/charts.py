"""The charts with two axes: how training went, and whether a probability can be believed."""

import math
from collections.abc import Sequence
from xml.etree.ElementTree import Element

import numpy as np

from rayrank.metrics import CalibrationBin
from rayrank.metrics.uncertainty import Z95
from rayrank.report.data import EpochPoint, LossPoint
from rayrank.report.markup import h
from rayrank.report.svg import (
    BOTTOM,
    LEFT,
    LETTER,
    LINE,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    axes,
    chart,
    line,
    shortened,
    span,
    text,
)

MOST_POINTS = 400
"""A curve of more is averaged: finer than a pixel shows nothing."""
LONGEST_NAME = 14
"""Letters of a task's name beside its curve."""


def loss_curve(steps: Sequence[LossPoint]) -> Element:
    """Training loss by tokens: every step faintly, and a running mean over it."""
    tokens = np.array([s.tokens for s in steps], float)
    loss = np.array([s.loss for s in steps])
    smooth = _running_mean(loss)
    groups = np.array_split(np.arange(len(steps)), min(MOST_POINTS, len(steps)))
    shown = [(tokens[g].mean(), loss[g].mean(), smooth[g].mean()) for g in groups]
    x = Axis(0, tokens.max(), LEFT, RIGHT)
    # The first steps may lie far above the rest and would flatten all of it: let them leave.
    low, high = span([*np.quantile(loss, [0, 0.99]), smooth.min(), smooth.max()])
    y = Axis(low, high, BOTTOM, TOP)
    raw = [(x(t), y(min(value, high))) for t, value, _ in shown]
    return chart(
        "Training loss",
        f"Falls from {smooth[0]:.4f} to {smooth[-1]:.4f} over {len(steps):,} steps and "
        f"{tokens[-1]:,.0f} tokens.",
        *axes(x, y, "tokens trained on", "loss, nats per candidate"),
        _path(raw, "faint"),
        _path([(x(t), y(value)) for t, _, value in shown], "series first"),
    )


def validation_curve(metric: str, tasks: Sequence[str], epochs: Sequence[EpochPoint]) -> Element:
    """A metric on later data after each epoch, a line per task, named at its end."""
    finite = [e.metrics[t] for e in epochs for t in tasks if math.isfinite(e.metrics[t])]
    name_room = LETTER * min(max(map(len, tasks)), LONGEST_NAME) + 12
    x = Axis(0, epochs[-1].step, LEFT, WIDTH - name_room)
    y = Axis(*span(finite or [0.5]), BOTTOM, TOP)
    parts, ends = [], {}
    for task, style in zip(tasks, _styles(len(tasks)), strict=True):
        measured = [(e.step, e.metrics[task]) for e in epochs if math.isfinite(e.metrics[task])]
        points = [(x(step), y(value), step, value) for step, value in measured]
        parts.append(_path([(px, py) for px, py, *_ in points], f"series {style}"))
        for px, py, step, value in points:
            tip = h("title", f"{task}, step {step:,}: {metric} {value:.4f}")
            parts.append(h("circle", tip, cx=px, cy=py, r=4, class_=f"dot {style}"))
        if points:
            ends[task] = (style, points[-1][1])
    parts += end_names(x, ends, name_room)
    latest = ", ".join(f"{task} {epochs[-1].metrics[task]:.4f}" for task in tasks)
    return chart(
        f"{metric[0].upper()}{metric[1:]} on later data",
        f"After the last epoch: {latest}.",
        *axes(x, y, "steps", metric),
        *parts,
    )


def calibration_plot(task: str, bins: Sequence[CalibrationBin]) -> Element:
    """Observed rate over mean prediction; on the diagonal, 0.2 means one in five."""
    margins = [Z95 * b.standard_error for b in bins]
    most = max(
        (max(b.predicted, b.observed + e) for b, e in zip(bins, margins, strict=True)), default=1.0
    )
    _, high = span([0.0, min(most, 1.0)])
    x, y = Axis(0, high, LEFT, RIGHT), Axis(0, high, BOTTOM, TOP)
    parts = [line(x(0), y(0), x(high), y(high), "limit")]
    for b, margin in zip(bins, margins, strict=True):
        top, low = min(b.observed + margin, high), max(b.observed - margin, 0.0)
        tip = f"predicted {b.predicted:.4f}, observed {b.observed:.4f}, {b.exposures:,} exposures"
        parts += [
            line(x(b.predicted), y(low), x(b.predicted), y(top), "error"),
            h(
                "circle",
                h("title", tip),
                cx=x(b.predicted),
                cy=y(b.observed),
                r=4.5,
                class_="dot first",
            ),
        ]
    gap = max((abs(b.predicted - b.observed) for b in bins), default=0.0)
    return chart(
        f"{task}: calibration",
        f"{len(bins)} bins; observed and predicted differ by at most {gap:.4f}.",
        *axes(x, y, "mean prediction", "observed rate"),
        *parts,
    )


def end_names(x: Axis, ends: dict[str, tuple[str, float]], room: float) -> list[Element]:
    """Names where their series end: name -> its style and height, moved apart where they meet."""
    heights = spread([height for _, height in ends.values()], LINE, TOP, BOTTOM)
    return [
        text(x.end + 10, height + 4, shortened(name, room - 12), class_=f"on {style}")
        for (name, (style, _)), height in zip(ends.items(), heights, strict=True)
    ]


def spread(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """The places, pushed down to stand `gap` apart in their order, and up again to end by `high`.

    Where low..high is too short for all of them, the gaps are smaller, and equal.
    """
    gap = min(gap, (high - low) / max(len(places) - 1, 1))
    order = np.argsort(places, kind="stable")
    steps = gap * np.arange(len(places))
    # Less its rank times the gap, a place may be anywhere that is not before the one before it.
    moved = np.maximum.accumulate(np.array(places)[order] - steps)
    result = np.empty(len(places))
    result[order] = np.clip(moved, low, high - steps[-1] if len(places) else high) + steps
    return result.tolist()


def _running_mean(values: np.ndarray) -> np.ndarray:
    """Over about a thirtieth of the run, shorter at its ends, so that no point is left out."""
    half = max(len(values) // 60, 1)
    sums = np.concatenate([[0.0], values.cumsum()])
    here = np.arange(len(values))
    first, last = np.maximum(here - half, 0), np.minimum(here + half + 1, len(values))
    return (sums[last] - sums[first]) / (last - first)


def _path(points: Sequence[tuple[float, float]], class_: str) -> Element:
    return h("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points), class_=class_)


def _styles(number: int) -> list[str]:
    return [("first", "second", "third")[k % 3] for k in range(number)]
