"""How many of what length: bars on an axis of factors, and lines that name values on it."""

import itertools
from collections.abc import Sequence
from xml.etree.ElementTree import Element

from rayrank.report.markup import h
from rayrank.report.numbers import amount
from rayrank.report.svg import (
    BOTTOM,
    HEIGHT,
    LEFT,
    LETTER,
    LINE,
    RIGHT,
    WIDTH,
    Axis,
    axes,
    chart,
    line,
    shortened,
    span,
    text,
)

STEP = LINE + 2
"""From a label's row to the next."""
GAP = 5.0
"""From a line to its label."""


def histogram(
    title: str,
    edges: Sequence[float],
    counts: Sequence[int],
    *,
    unit: str,
    what: str,
    marks: dict[str, float],
) -> Element:
    """How many `what` of how many `unit`; `marks` name a few values, each on a row of its own."""
    labels = {
        shortened(f"{name} {amount(value)}", WIDTH): value
        for name, value in sorted(marks.items(), key=lambda mark: mark[1])
    }
    band = STEP * len(labels)
    x = Axis(edges[0], edges[-1], LEFT, RIGHT, log=True)
    y = Axis(0, span([0.0, float(max([*counts, 1]))])[1], BOTTOM + band, 2 * LINE + band)
    bars = []
    for low, high, count in zip(edges, edges[1:], counts, strict=False):
        tip = h("title", f"{amount(low)} to {amount(high)} {unit}: {count:,} {what}")
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
    words = ", ".join(labels)
    return chart(
        title,
        f"{sum(counts):,} {what}; in {unit}: {words}.",
        *axes(x, y, unit, what),
        *bars,
        *_marks(x, y, {k: min(max(v, edges[0]), edges[-1]) for k, v in labels.items()}),
        height=HEIGHT + band,
    )


def _marks(x: Axis, y: Axis, labels: dict[str, float]) -> list[Element]:
    """A line at each value, from the axis up to its label."""
    at = [x(value) for value in labels.values()]
    widths = [LETTER * len(label) for label in labels]
    parts = []
    for label, place, width, start, row in zip(
        labels, at, widths, *_arranged(at, widths), strict=True
    ):
        base = 2 * LINE + STEP * row
        # A flag beside its pole; one that had to move over the pole stands on it.
        top = base + 4 if start < place < start + width else base - LINE + 4
        if start > place or start == 0:
            words = text(start, base, label)
        else:
            words = text(start + width, base, label, "end")
        parts += [
            line(place, top, place, y(0), "halo"),
            line(place, top, place, y(0), "mark"),
            words,
        ]
    return parts


def _arranged(at: list[float], widths: list[float]) -> tuple[Sequence[float], Sequence[int]]:
    """Where each label starts, and its row. No two can meet: each has a row of its own.

    Of all arrangements with every label at its line, right of it sooner than left of it, the first
    in which no line, coming down from its own label, crosses another one.
    """
    starts = []
    for place, width in zip(at, widths, strict=True):
        last = WIDTH - width
        here = [place + GAP, place - GAP - width]
        here += [end for end in (last, 0.0) if end <= place <= end + width]
        starts.append([start for start in here if 0 <= start <= last])
    every = list(
        itertools.product(itertools.product(*starts), itertools.permutations(range(len(at))))
    )
    return next((each for each in every if not _crossed(at, widths, *each)), every[0])


def _crossed(
    at: list[float], widths: list[float], starts: Sequence[float], rows: Sequence[int]
) -> bool:
    """Whether a line comes down through a label below its own."""
    return any(
        row > above and start - 2 < place < start + width + 2
        for start, width, row in zip(starts, widths, rows, strict=True)
        for place, above in zip(at, rows, strict=True)
    )
