"""The JSON values of one feature's column: checked, then encoded as rows store them."""

import math
from typing import Any

import pyarrow as pa

from rayrank.data.encode import encode
from rayrank.data.ids import IdType
from rayrank.errors import DataError
from rayrank.schema import Feature
from rayrank.serve.errors import RequestError
from rayrank.serve.limits import Limits

NUMBERS = ("number", "bucket", "vector")


def encode_column(
    values: Any, feature: Feature, kind: IdType, where: str, length: int, limits: Limits
) -> pa.Array:
    """[length] values of a feature whose ids are of `kind`. Raises RequestError, of the field
    `where`."""
    if not isinstance(values, list) or len(values) != length:
        found = f"{len(values)} values" if isinstance(values, list) else type(values).__name__
        raise RequestError(422, where, f"expected a list of {length} values, found {found}")
    expected: tuple[type, ...] = (str,) if kind == "string" else (int,)
    if feature.kind in NUMBERS:
        expected = (int, float)
    elements, may_be_missing = values, True
    if feature.kind in ("ids", "vector"):
        most = limits.list_ids if feature.width is None else feature.width
        what = (
            f"lists of at most {most} ids" if feature.width is None else f"lists of {most} numbers"
        )
        for value in values:
            if not isinstance(value, list | None) or len(value or ()) > most:
                raise RequestError(422, where, f"expected {what}")
        elements, may_be_missing = [of for value in values for of in value or ()], False
    for element in elements:
        missing = element is None and may_be_missing
        wrong = not isinstance(element, expected) or isinstance(element, bool)
        if not missing and (wrong or _is_nan(element)):
            raise RequestError(
                422, where, f"expected {_names(expected)}, found {found_in(element)}"
            )
    try:
        return encode(_array(values, feature, kind), feature, where)
    except DataError as error:
        raise RequestError(422, where, str(error).removeprefix(f"{where}: ")) from None
    except (pa.ArrowInvalid, OverflowError):
        raise RequestError(422, where, "holds a number that does not fit in 64 bits") from None


def found_in(value: Any) -> str:
    """A value in the words of an error."""
    return type(value).__name__ if isinstance(value, list | dict) else f"{value!r:.80}"


def _array(values: list[Any], feature: Feature, kind: IdType) -> pa.Array:
    if feature.kind == "vector":
        lists = [None if v is None else [float(x) for x in v] for v in values]
        return pa.array(lists, pa.list_(pa.float64()))
    if feature.kind in NUMBERS:
        return pa.array([None if v is None else float(v) for v in values], pa.float64())
    if kind == "string":
        return _ids(values, feature, pa.string())
    try:
        return _ids(values, feature, pa.int64())
    except (pa.ArrowInvalid, OverflowError):
        # A log may hold unsigned ids, whose bits the builder keeps.
        return _ids(values, feature, pa.uint64())


def _ids(values: list[Any], feature: Feature, kind: pa.DataType) -> pa.Array:
    return pa.array(values, pa.list_(kind) if feature.kind == "ids" else kind)


def _is_nan(value: Any) -> bool:
    """Python reads it, and it is no JSON."""
    return isinstance(value, float) and math.isnan(value)


def _names(types: tuple[type, ...]) -> str:
    if str in types:
        return "a string"
    return "a number" if float in types else "an integer"
