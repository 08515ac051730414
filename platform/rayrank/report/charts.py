"""The charts of the report, each from numbers to one figure."""

import math
from collections.abc import Sequence
from xml.etree.ElementTree import Element

import numpy as np

from rayrank.metrics.calibration import CalibrationBin
from rayrank.report.data import EpochPoint, LossPoint, TaskQuality
from rayrank.report.markup import h
from rayrank.report.svg import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    Axis,
    axes,
    chart,
    line,
    span,
    text,
)

MOST_POINTS = 400
"""A curve of more is averaged: finer than a pixel shows nothing."""
CHANCE = 0.5
LETTER = 7.0
"""A letter is at most so wide, in pixels."""


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


def validation_curve(epochs: Sequence[EpochPoint]) -> Element:
    """GAUC on later data after each epoch, a line per task."""
    tasks = list(epochs[0].gauc)
    finite = [v for e in epochs for v in e.gauc.values() if math.isfinite(v)]
    last = epochs[-1].step
    x = Axis(0, last, LEFT, RIGHT - 50)
    y = Axis(*span(finite or [CHANCE]), BOTTOM, TOP)
    parts = []
    for task, style in zip(tasks, _styles(len(tasks)), strict=True):
        points = [(x(e.step), y(e.gauc[task]), e) for e in epochs if math.isfinite(e.gauc[task])]
        parts.append(_path([(px, py) for px, py, _ in points], f"series {style}"))
        for px, py, e in points:
            tip = h("title", f"{task}, step {e.step:,}: GAUC {e.gauc[task]:.4f}")
            parts.append(h("circle", tip, cx=px, cy=py, r=4, class_=f"dot {style}"))
        if points:
            parts.append(text(points[-1][0] + 10, points[-1][1] + 4, task, class_=f"on {style}"))
    latest = ", ".join(f"{task} {value:.4f}" for task, value in epochs[-1].gauc.items())
    return chart(
        "GAUC on later data",
        f"After the last epoch: {latest}.",
        *axes(x, y, "steps", "GAUC"),
        *parts,
    )


def gauc_dots(
    task: str, rankers: dict[str, TaskQuality], oracle: float | None, served: str
) -> Element:
    """GAUC above chance, a line per ranker; the oracle's is where nothing can be beyond."""
    shown = {name: q for name, q in rankers.items() if math.isfinite(q.gauc)}
    reached = [q.gauc for q in shown.values()] + ([oracle] if oracle is not None else [])
    low = min(CHANCE, span([CHANCE, *reached])[0])
    high = math.ceil(20 * max([0.55, *reached]) + 0.1) / 20
    bottom = TOP + 30 * max(len(shown), 1)
    x = Axis(low, high, 104, 410)
    parts = [line(x(tick), TOP, x(tick), bottom, "grid") for tick in x.ticks()]
    parts += [text(x(tick), bottom + 18, f"{tick:.2f}", "middle", "tick") for tick in x.ticks()]
    parts.append(line(x(CHANCE), TOP - 6, x(CHANCE), bottom, "axis"))
    if oracle is not None:
        parts += [
            line(x(oracle), TOP - 6, x(oracle), bottom, "limit"),
            text(x(oracle), TOP - 12, f"oracle {oracle:.4f}", "middle", "label"),
        ]
    for row, (name, quality) in enumerate(shown.items()):
        y = TOP + 30 * row + 15
        style = "first" if name == served else "plain"
        parts += [
            text(94, y + 4, name, "end", f"on {style}"),
            line(x(CHANCE), y, x(quality.gauc), y, f"stem {style}"),
        ]
        if quality.gauc_se is not None:
            reach = 1.96 * quality.gauc_se
            ends = x(quality.gauc - reach), x(quality.gauc + reach)
            parts += [
                line(ends[0], y, ends[1], y, "error"),
                *(line(end, y - 5, end, y + 5, "error") for end in ends),
            ]
        parts += [
            h("circle", cx=x(quality.gauc), cy=y, r=4, class_=f"dot {style}"),
            text(470, y + 4, f"{quality.gauc:.4f}", "end", f"on {style}"),
        ]
    parts.append(text(x.end, bottom + 36, f"GAUC, from chance ({CHANCE}) up", "end", "label"))
    words = ", ".join(f"{name} {q.gauc:.4f}" for name, q in shown.items())
    limit = "" if oracle is None else f"; oracle {oracle:.4f}"
    return chart(f"{task}: GAUC", f"{words}{limit}.", *parts, height=bottom + 46)


def calibration_plot(task: str, bins: Sequence[CalibrationBin]) -> Element:
    """Observed rate over mean prediction; on the diagonal, 0.2 means one in five."""
    errors = [1.96 * math.sqrt(b.observed * (1 - b.observed) / max(b.exposures, 1)) for b in bins]
    most = max(
        (max(b.predicted, b.observed + e) for b, e in zip(bins, errors, strict=True)), default=1.0
    )
    _, high = span([0.0, min(most, 1.0)])
    x, y = Axis(0, high, LEFT, RIGHT), Axis(0, high, BOTTOM, TOP)
    parts = [line(x(0), y(0), x(high), y(high), "limit")]
    for b, error in zip(bins, errors, strict=True):
        top, low = min(b.observed + error, high), max(b.observed - error, 0.0)
        tip = f"predicted {b.predicted:.4f}, observed {b.observed:.4f}, {b.exposures:,} exposures"
        parts += [
            line(x(b.predicted), y(low), x(b.predicted), y(top), "error first"),
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


def histogram(
    title: str,
    edges: Sequence[float],
    counts: Sequence[int],
    *,
    unit: str,
    what: str,
    marks: dict[str, float],
) -> Element:
    """How many `what` of how many `unit`, on an axis of factors; `marks`, ascending, name values on
    it."""
    x = Axis(edges[0], edges[-1], LEFT, RIGHT, log=True)
    y = Axis(0, span([0.0, float(max([*counts, 1]))])[1], BOTTOM, TOP + 14)
    bars = []
    for low, high, count in zip(edges, edges[1:], counts, strict=False):
        tip = h("title", f"{low:,.4g} to {high:,.4g} {unit}: {count:,} {what}")
        bars.append(
            h(
                "rect",
                tip,
                x=x(low) + 0.5,
                y=y(count),
                width=max(x(high) - x(low) - 1, 1.0),
                height=y(0) - y(count),
                class_="bar",
            )
        )
    lines = []
    places = [x(min(max(value, edges[0]), edges[-1])) for value in marks.values()]
    for (name, value), at, following in zip(
        marks.items(), places, [*places[1:], RIGHT], strict=True
    ):
        label = f"{name} {value:,.4g}"
        # A label stands right of its line, or left of it where the next line is too near.
        right = following - at > LETTER * len(label) + 8
        lines += [
            line(at, TOP + 4, at, y(0), "mark"),
            text(at + (5 if right else -5), TOP + 8, label, "start" if right else "end", "on"),
        ]
    words = ", ".join(f"{name} {value:,.4g}" for name, value in marks.items())
    return chart(
        title,
        f"{sum(counts):,} {what}; in {unit}: {words}.",
        *axes(x, y, unit, what),
        *bars,
        *lines,
    )


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
