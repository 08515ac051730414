"""User rows like those that will come, to be scored before anybody waits for it."""

from typing import Any

import pyarrow as pa

from rayrank.data.user_rows import row_schema
from rayrank.schema import CANDIDATES, PROFILE, Schema


def example_visits(schema: Schema) -> list[pa.Table]:
    """A user who comes twice, a row each: before anything happened in the window, and after
    something did in every sequence. Whatever may hold something holds one element, of zeros."""
    rows = row_schema(schema, pa.string(), pa.string())
    content = {field.name: _zero(field.type) for field in rows}
    nothing_yet: dict[str, dict[str, list[Any]]] = {
        group.name: {key: [] for key in content[group.name]} for group in schema.realtime
    }
    elements = len(schema.groups) - 1 + len(schema.features_of(PROFILE.token))
    visits = (
        content | nothing_yet | {"tokens": elements - len(schema.realtime)},
        content | {"tokens": elements},
    )
    unasked = [name for name in rows.names if name not in _asked(schema)]
    return [pa.Table.from_pylist([visit], rows).drop_columns(unasked) for visit in visits]


def _asked(schema: Schema) -> set[str]:
    """What a request's row has: no labels."""
    groups = {group.name for group in schema.groups}
    return {"user", "window_start", "tokens", "visible_pairs", CANDIDATES.name, *groups}


def _zero(of: pa.DataType) -> Any:
    if pa.types.is_struct(of):
        return {field.name: _zero(field.type) for field in of}
    if pa.types.is_fixed_size_list(of):
        return [_zero(of.value_type)] * of.list_size
    if pa.types.is_list(of):
        return [_zero(of.value_type)]
    return "" if pa.types.is_string(of) else 0
