"""Columns of a request that are no features: keys and times; checked, with the field's name."""

from typing import Any

import numpy as np
import pyarrow as pa

from rayrank.data.times import EARLIEST_MS, LATEST_MS
from rayrank.serve.errors import RequestError
from rayrank.serve.values import Column, found_in


def object_of(value: Any, where: str) -> dict[str, Any]:
    """A value that is a mapping. Raises RequestError, as all here do."""
    if not isinstance(value, dict):
        raise RequestError(422, where or "(body)", "expected an object")
    return value


def required(columns: dict[str, Any], name: str, prefix: str) -> Any:
    """A column that must be there."""
    if name not in columns:
        raise RequestError(422, f"{prefix}{name}", "is missing")
    return columns[name]


def key_of(value: Any, where: str) -> int | str:
    """A user's or an item's key."""
    if type(value) not in (int, str):
        raise RequestError(422, where, f"expected an integer or a string, found {found_in(value)}")
    key: int | str = value
    return key


def item_keys(items: Column, where: str) -> pa.Array:
    """Items' keys as text, string [candidates]."""
    if isinstance(items, list):
        if set(map(type, items)) - {int, str}:
            for item in items:
                key_of(item, where)
        return pa.array(list(map(str, items)))
    if not _is_key(items.type) or items.null_count:
        raise RequestError(422, where, f"expected integers or strings, found {found_in(items)}")
    return items.cast(pa.string())


def demand_agreement(sent: Any, items: Column, where: str) -> None:
    """A feature that carries the item's id must be the item's. Of a column that is none,
    `encode_column` tells."""
    if sent is items or not isinstance(sent, list | pa.Array) or len(sent) != len(items):
        return
    if isinstance(sent, list) and (sent == items or set(map(type, sent)) - {int, str}):
        return
    if isinstance(sent, pa.Array) and (not _is_key(sent.type) or sent.equals(items)):
        return
    ours, theirs = _texts(sent), _texts(items)
    for place, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        if one != other:
            told = f"is {one!r:.40} at place {place}, and item is {other!r:.40}; they must agree"
            raise RequestError(422, where, told)


def _is_key(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _texts(column: Column) -> list[str | None]:
    if isinstance(column, list):
        return list(map(str, column))
    texts: list[str | None] = column.cast(pa.string()).to_pylist()
    return texts


def time_of(value: Any, where: str) -> int:
    """A time, in ms."""
    return int(times_of([value], where)[0])


def times_of(values: Column, where: str) -> np.ndarray:
    """Times, int64 ms [n]."""
    if isinstance(values, list):
        if wrong := set(map(type, values)) - {int}:
            raise _no_time(next(value for value in values if type(value) in wrong), where)
        ends = [min(values), max(values)] if values else []
    else:
        if values.null_count or not (pa.types.is_integer(values.type) or not len(values)):
            raise _no_time(values, where)
        values = values.to_numpy(zero_copy_only=False)
        ends = [int(values.min()), int(values.max())] if len(values) else []
    for end in ends:
        if not EARLIEST_MS <= end <= LATEST_MS:
            raise _no_time(end, where)
    return np.array(values, np.int64)


def _no_time(found: Any, where: str) -> RequestError:
    return RequestError(
        422,
        where,
        "expected integer milliseconds since 1970, in the years 1990 to 2100, found "
        f"{found_in(found)}",
    )


def demand_within(times: np.ndarray, first: int, last: int, where: str, what: str) -> None:
    """Times must lie from first to last: within `what`."""
    if len(times) and (times.min() < first or times.max() > last):
        raise RequestError(422, where, f"lies outside {what} ({first} to {last})")
