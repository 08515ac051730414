"""What every chart has: a drawing area, axes with round ticks, a title and a description."""

import itertools
import math
from dataclasses import dataclass
from xml.etree.ElementTree import Element

import numpy as np

from rayrank.report.markup import Child, h

WIDTH, HEIGHT = 400, 246
LEFT, RIGHT, TOP, BOTTOM = 58, 384, 32, 204
LETTER, LINE = 8.5, 14.0
"""A letter's width (of an average word) and a line's height where letters are largest: on narrow
screens, where `style` makes them 14 units high to be readable after scaling."""

SIZES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))

_ids = itertools.count(1)


@dataclass(frozen=True)
class Axis:
    """Values low..high onto pixels start..end, linearly or by factors."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, about: int = 5) -> list[float]:
        """Round values within the axis, about so many; by factors, where the axis spans enough."""
        if self.log:
            decades = math.log10(self.high / self.low)
            factors = (1,) if decades > 3 else (1, 3) if decades > 1.5 else (1, 2, 5)
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            every = [f * 10.0**e for e in range(first, last + 1) for f in factors]
            within = [value for value in every if self.low <= value <= self.high]
            if len(within) > 1:
                return within
        step = nice_step((self.high - self.low) / about)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [k * step for k in range(first, last + 1)]

    def labels(self) -> list[str]:
        """Of the ticks: factors by themselves, others with as many decimals as tell them apart."""
        ticks = self.ticks()
        alone = [_short(tick) for tick in ticks]
        if self.log and len(set(alone)) == len(ticks):
            return alone
        most = max(abs(tick) for tick in ticks)
        size, suffix = next((s for s in SIZES if most >= s[0]), (1.0, ""))
        scaled = np.array(ticks) / size
        close = 0.01 * (scaled[1] - scaled[0]) if len(scaled) > 1 else 0.01
        decimals = next(d for d in range(16) if (abs(scaled.round(d) - scaled) < close).all())
        return [
            f"{tick:,.{decimals}f}{suffix}".replace("-", "−") if abs(tick) > close else "0"
            for tick in scaled.tolist()
        ]


def nice_step(rough: float) -> float:
    """The 1, 2 or 5 times a power of ten that is nearest above `rough`."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(f * power for f in (1, 2, 5, 10) if f * power >= rough * (1 - 1e-9))


def span(values: list[float], about: int = 5) -> tuple[float, float]:
    """Round bounds around the values, at least a hundredth of them and a thousandth apart.

    Where no value is negative, neither is a bound.
    """
    low, high = min(values), max(values)
    lacking = max(0.01 * max(abs(low), abs(high)), 0.001) - (high - low)
    if lacking > 0:
        below = min(lacking / 2, low) if low >= 0 else lacking / 2
        low, high = low - below, high + lacking - below
    step = nice_step((high - low) / about)
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step


def chart(
    title: str,
    description: str,
    *children: Child,
    height: float = HEIGHT,
    legend: Child = None,
) -> Element:
    """A figure: the caption above, the drawing below, its description for those who cannot see."""
    number = next(_ids)
    drawing = h(
        "svg",
        h("title", title, id=f"chart{number}-title"),
        h("desc", description, id=f"chart{number}-desc"),
        *children,
        role="img",
        viewBox=f"0 0 {WIDTH} {height:g}",
        aria_labelledby=f"chart{number}-title chart{number}-desc",
    )
    return h("figure", h("figcaption", title), legend, drawing, class_="chart")


def text(x: float, y: float, words: str, anchor: str = "start", class_: str = "") -> Element:
    """Words at a point: `anchor` is start, middle or end."""
    return h("text", words, x=x, y=y, text_anchor=anchor, class_=class_)


def shortened(words: str, room: float) -> str:
    """The words, or as many letters as have room and an ellipsis."""
    most = max(int(room / LETTER), 2)
    return words if len(words) <= most else words[: most - 1] + "…"


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Element:
    """A straight line."""
    return h("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def axes(x: Axis, y: Axis, x_label: str, y_label: str) -> list[Element]:
    """Horizontal grid, ticks, and what the axes mean (y's at the top, so that it reads level)."""
    parts = []
    for tick, label in zip(y.ticks(), y.labels(), strict=True):
        parts += [
            line(x.start, y(tick), x.end, y(tick), "grid"),
            text(x.start - 6, y(tick) + 4, label, "end", "tick"),
        ]
    return [*parts, text(0, LINE, y_label, "start", "label"), *bottom_axis(x, y.start, x_label)]


def bottom_axis(x: Axis, y: float, label: str) -> list[Element]:
    """The line under a drawing, its ticks, and below them what it means."""
    parts = [line(x.start, y, x.end, y, "axis")]
    for tick, words in zip(x.ticks(), x.labels(), strict=True):
        parts += [
            line(x(tick), y, x(tick), y + 4, "axis"),
            text(_inside(x(tick), words), y + 18, words, "middle", "tick"),
        ]
    return [*parts, text(x.end, y + 35, label, "end", "label")]


def _inside(x: float, words: str) -> float:
    half = LETTER * len(words) / 2
    return min(max(x, half), WIDTH - half)


def _short(value: float) -> str:
    size, suffix = next((s for s in SIZES if value >= s[0]), (1.0, ""))
    return f"{value / size:.3g}{suffix}"
