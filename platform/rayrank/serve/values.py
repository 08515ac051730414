"""The values of one feature's column, JSON's or Arrow's: checked, then encoded as in rows."""

from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from rayrank.data.encode import encode
from rayrank.data.ids import IdType
from rayrank.errors import DataError
from rayrank.schema import Feature
from rayrank.serve.errors import RequestError
from rayrank.serve.limits import Limits

Column: TypeAlias = list[Any] | pa.Array
"""As JSON has it, or Arrow."""

NUMBERS = ("number", "bucket", "vector")
NONE = type(None)


def column_of(value: Any, where: str) -> Column:
    """A value that is a column. Raises RequestError."""
    if not isinstance(value, list | pa.Array):
        raise RequestError(422, where, f"expected a list, found {found_in(value)}")
    return value


def encode_column(
    values: Any, feature: Feature, kind: IdType, where: str, length: int, limits: Limits
) -> pa.Array:
    """[length] values of a feature whose ids are of `kind`. Raises RequestError, of the field
    `where`."""
    column = column_of(values, where)
    if len(column) != length:
        raise RequestError(422, where, f"expected {length} values, found {len(column)}")
    listed = isinstance(column, list)
    raw = (_from_list if listed else _from_arrow)(column, feature, kind, where, limits)
    try:
        return encode(raw, feature, where)
    except DataError as error:
        raise RequestError(422, where, str(error).removeprefix(f"{where}: ")) from None
    except (pa.ArrowInvalid, OverflowError):
        raise _too_large(where) from None


def found_in(value: Any) -> str:
    """A value in the words of an error."""
    if isinstance(value, pa.Array):
        nulls = f" with {value.null_count} nulls" if value.null_count else ""
        return f"a list of {value.type}{nulls}"
    return type(value).__name__ if isinstance(value, list | dict) else f"{value!r:.80}"


def _from_list(
    values: list[Any], feature: Feature, kind: IdType, where: str, limits: Limits
) -> pa.Array:
    types = _types_of(feature, kind)
    if feature.kind in ("ids", "vector"):
        if set(map(type, values)) - {list, NONE} or max(map(_length, values), default=0) > _most(
            feature, limits
        ):
            raise RequestError(422, where, f"expected {_lists(feature, limits)}")
        _demand([of for value in values for of in value or ()], types, where)
    else:
        _demand(values, {*types, NONE}, where)
    if feature.kind == "vector":
        lists = [None if v is None else [float(x) for x in v] for v in values]
        return pa.array(lists, pa.list_(pa.float64()))
    try:
        if feature.kind in NUMBERS:
            # Arrow takes no integer that a double would round.
            if int in set(map(type, values)):
                values = [None if v is None else float(v) for v in values]
            return pa.array(values, pa.float64())
        if str in types:
            return _ids(values, feature, pa.string())
        try:
            return _ids(values, feature, pa.int64())
        except (pa.ArrowInvalid, OverflowError):
            # A log may hold unsigned ids, whose bits the builder keeps.
            return _ids(values, feature, pa.uint64())
    except (pa.ArrowInvalid, OverflowError):
        raise _too_large(where) from None


def _from_arrow(
    values: pa.Array, feature: Feature, kind: IdType, where: str, limits: Limits
) -> pa.Array:
    elements, expected = values, f"{_names(_types_of(feature, kind))}s"
    if feature.kind in ("ids", "vector") and not pa.types.is_null(values.type):
        expected = _lists(feature, limits)
        if not (
            pa.types.is_list(values.type)
            or pa.types.is_large_list(values.type)
            or pa.types.is_fixed_size_list(values.type)
        ):
            raise RequestError(422, where, f"expected {expected}, found {values.type}")
        if (pc.max(pc.list_value_length(values)).as_py() or 0) > _most(feature, limits):
            raise RequestError(422, where, f"expected {expected}")
        elements = values.flatten()
    of = elements.type
    if not pa.types.is_null(of):
        text = pa.types.is_string(of) or pa.types.is_large_string(of)
        number = pa.types.is_integer(of) or (feature.kind in NUMBERS and pa.types.is_floating(of))
        if not (number if feature.kind in NUMBERS or kind != "string" else text):
            raise RequestError(422, where, f"expected {expected}, found {values.type}")
    return values


def _types_of(feature: Feature, kind: IdType) -> set[type]:
    if feature.kind in NUMBERS:
        return {int, float}
    return {str} if kind == "string" else {int}


def _demand(values: list[Any], types: set[type], where: str) -> None:
    """By type and not by class: True is no 1."""
    if wrong := set(map(type, values)) - types:
        found = next(value for value in values if type(value) in wrong)
        expected = _names(types)
        raise RequestError(422, where, f"expected {expected}, found {found_in(found)}")


def _length(value: list[Any] | None) -> int:
    return 0 if value is None else len(value)


def _most(feature: Feature, limits: Limits) -> int:
    return limits.list_ids if feature.width is None else feature.width


def _lists(feature: Feature, limits: Limits) -> str:
    of = "ids" if feature.width is None else "numbers"
    at_most = "at most " if feature.width is None else ""
    return f"lists of {at_most}{_most(feature, limits)} {of}"


def _ids(values: list[Any], feature: Feature, kind: pa.DataType) -> pa.Array:
    return pa.array(values, pa.list_(kind) if feature.kind == "ids" else kind)


def _names(types: set[type]) -> str:
    if str in types:
        return "a string"
    return "a number" if float in types else "an integer"


def _too_large(where: str) -> RequestError:
    return RequestError(422, where, "holds a number that does not fit in 64 bits")
