"""Kubernetes' quantities: `500m`, `20Gi`, `1e3`; never `20GB`."""

import re
from fractions import Fraction
from typing import Any

_FORM = re.compile(
    r"([+-]?(?:\d+(?:\.\d*)?|\.\d+))(?:(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E)|[eE]([+-]?\d+))?"
)
_TENS = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_TWOS = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
GI = 2**30


def quantity(value: Any) -> Fraction | None:
    """Its number, or None if it is not a quantity."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    form = _FORM.fullmatch(str(value))
    if form is None:
        return None
    number, suffix, exponent = form.groups()
    if suffix in _TWOS:
        return Fraction(number) * 2 ** _TWOS[suffix]
    return Fraction(number) * Fraction(10) ** (_TENS[suffix] if suffix else int(exponent or 0))


def amount(value: Any) -> Fraction:
    """Of what has been checked before."""
    number = quantity(value)
    assert number is not None, f"{value!r} is not a quantity"
    return number


def quantity_faults(quantities: dict[str, Any], where: str) -> list[str]:
    found = []
    for name, value in quantities.items():
        number = quantity(value)
        if number is None:
            found.append(f"{where}.{name}: {value!r} is not a quantity")
        elif number < 0:
            found.append(f"{where}.{name}: {value!r} is negative")
    return found
