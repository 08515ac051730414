"""What every chart has: a drawing area, axes with round ticks, a title and a description."""

import itertools
import math
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from rayrank.report.markup import Child, h

WIDTH, HEIGHT = 480, 290
LEFT, RIGHT, TOP, BOTTOM = 52, 464, 34, 246

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


def nice_step(rough: float) -> float:
    """The 1, 2 or 5 times a power of ten that is nearest above `rough`."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(f * power for f in (1, 2, 5, 10) if f * power >= rough * (1 - 1e-9))


def span(values: list[float], about: int = 5) -> tuple[float, float]:
    """Round bounds around the values, never empty."""
    low, high = min(values), max(values)
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    step = nice_step((high - low) / about)
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step


def chart(title: str, description: str, *children: Child, height: float = HEIGHT) -> Element:
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
    return h("figure", h("figcaption", title), drawing)


def text(x: float, y: float, words: str, anchor: str = "start", class_: str = "") -> Element:
    """Words at a point: `anchor` is start, middle or end."""
    return h("text", words, x=x, y=y, text_anchor=anchor, class_=class_)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Element:
    """A straight line."""
    return h("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def axes(x: Axis, y: Axis, x_label: str, y_label: str) -> list[Element]:
    """Horizontal grid, ticks, and what the axes mean (y's above it, so that it reads level)."""
    parts = []
    for tick in y.ticks():
        parts += [
            line(x.start, y(tick), x.end, y(tick), "grid"),
            text(x.start - 8, y(tick) + 4, short(tick), "end", "tick"),
        ]
    for tick in x.ticks():
        parts += [
            line(x(tick), y.start, x(tick), y.start + 4, "axis"),
            text(x(tick), y.start + 18, short(tick), "middle", "tick"),
        ]
    parts += [
        line(x.start, y.start, x.end, y.start, "axis"),
        text(x.start - 44, y.end - 16, y_label, "start", "label"),
        text(x.end, y.start + 36, x_label, "end", "label"),
    ]
    return parts


def short(value: float) -> str:
    """1200 -> 1.2k; what is small stays as it is."""
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{suffix}"
    return f"{value:.3g}"
