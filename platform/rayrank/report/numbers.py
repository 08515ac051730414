"""How numbers read on the page."""

import math

from rayrank.metrics.uncertainty import Z95, Estimate


def rate(value: float) -> str:
    """A metric or a probability."""
    return f"{value:.4f}" if math.isfinite(value) else "–"


def with_margin(value: float, standard_error: float | None) -> str:
    """A metric and half of its 95 % interval, where that was measured."""
    if standard_error is None or not math.isfinite(value + standard_error):
        return rate(value)
    return f"{value:.4f} ± {Z95 * standard_error:.4f}"


def signed(difference: Estimate) -> str:
    """A difference, its sign always there, and half of its 95 % interval."""
    sign = "−" if difference.value < 0 else "+"
    return sign + with_margin(abs(difference.value), difference.standard_error)


def amount(value: float) -> str:
    """A count, a length or a time: four figures, or all before the point."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def told_apart(difference: Estimate) -> bool:
    """Whether its 95 % interval leaves out 0."""
    return difference.low > 0 or difference.high < 0
