"""The lab's charts with two axes: gain by FLOPs, and quality by what it costs."""

import math
from collections.abc import Sequence
from xml.etree.ElementTree import Element

from rayrank.lab.look import exponent
from rayrank.lab.results import CostLine, Curve, Line
from rayrank.metrics.uncertainty import Z95
from rayrank.report.charts import spread
from rayrank.report.markup import h
from rayrank.report.numbers import signed
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
    span,
    text,
)

NAMES = 96
"""The room for names at the right."""
BAND = "fill: var(--faint); fill-opacity: .45; stroke: none"


def scaling_curve(curve: Curve, metric: str) -> Element:
    """Gains of sizes over FLOPs, both by factors where all gains are above 0, the law through them
    with its band, and the oracle's gain: nothing can be beyond it."""
    band = curve.band
    positive = min(gain.value for gain in curve.gains) > 0 and band.low.min() > 0
    highs = [gain.high for gain in curve.gains]
    lows = [gain.low for gain in curve.gains]
    most = [] if curve.oracle is None else [curve.oracle]
    x = Axis(min(curve.flops) / 1.3, max(curve.flops) * 1.3, LEFT, RIGHT, log=True)
    if positive:
        floor = min(gain.value for gain in curve.gains) / 2
        y = Axis(floor, 1.25 * max([*highs, *most]), BOTTOM, TOP, log=True)
    else:
        y = Axis(*span([0.0, *lows, *highs, *most]), BOTTOM, TOP)

    def at(value: float) -> float:
        return y(min(max(value, y.low), y.high))

    edge = [(x(f), at(v)) for f, v in zip(band.flops, band.high, strict=True)]
    edge += [(x(f), at(v)) for f, v in zip(band.flops[::-1], band.low[::-1], strict=True)]
    path = [(x(f), at(v)) for f, v in zip(band.flops, band.law(band.flops), strict=True)]
    parts = [
        h("polygon", points=_points(edge), style=BAND),
        h("polyline", points=_points(path), class_="series first"),
    ]
    for name, flops, gain in zip(curve.names, curve.flops, curve.gains, strict=True):
        tip = f"{name}: {flops:.3g} FLOPs a row, {signed(gain)}"
        parts += [
            line(x(flops), at(gain.low), x(flops), at(gain.high), "error"),
            h("circle", h("title", tip), cx=x(flops), cy=at(gain.value), r=4, class_="dot first"),
        ]
    if curve.oracle is not None:
        parts += [
            line(x.start, at(curve.oracle), x.end, at(curve.oracle), "bound"),
            text(x.end, at(curve.oracle) + 13, "oracle", "end", "on second"),
        ]
    told = exponent(band.law.exponent, band.exponent_low, band.exponent_high)
    return chart(
        f"{curve.data}, {curve.task}: {curve.family}",
        f"{metric} above {curve.against} over FLOPs of a forward pass of a user row: "
        f"exponent {told}.",
        *axes(x, y, "FLOPs of a user row", f"{metric} above {curve.against}"),
        *parts,
        text(x.end, LINE, f"exponent {told}", "end", "label"),
    )


def cost_plot(
    data: str, task: str, metric: str, lines: Sequence[Line], costs: Sequence[CostLine], best: str
) -> Element:
    """Quality over FLOPs of a user row, a point per model."""
    quality = {one.model: one for one in lines}
    shown = [cost for cost in costs if math.isfinite(cost.flops_per_row)]
    ends = [
        quality[cost.model].mean + side * Z95 * quality[cost.model].error
        for cost in shown
        for side in (-1, 1)
    ]
    flops = [cost.flops_per_row for cost in shown]
    x = Axis(min(flops) / 1.3, max(flops) * 1.3, LEFT, WIDTH - NAMES, log=True)
    y = Axis(*span(ends), BOTTOM, TOP)
    parts: list[Element] = []
    heights = spread([y(quality[c.model].mean) for c in shown], LINE, TOP, BOTTOM)
    for cost, height in zip(shown, heights, strict=True):
        of = quality[cost.model]
        style = "first" if cost.model == best else "plain"
        px, py, reach = x(cost.flops_per_row), y(of.mean), Z95 * of.error
        tip = f"{cost.model}: {metric} {of.mean:.4f}, {cost.flops_per_row:.3g} FLOPs a row"
        parts += [
            line(px, y(of.mean - reach), px, y(of.mean + reach), "error"),
            line(px, py, x.end + 4, height, "grid"),
            h("circle", h("title", tip), cx=px, cy=py, r=4, class_=f"dot {style}"),
            text(x.end + 8, height + 4, cost.model[: int(NAMES / LETTER)], class_=f"on {style}"),
        ]
    return chart(
        f"{data}, {task}: {metric} by FLOPs",
        ", ".join(f"{c.model} {quality[c.model].mean:.4f}" for c in shown) + ".",
        *axes(x, y, "FLOPs of a user row", metric),
        *parts,
    )


def _points(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
