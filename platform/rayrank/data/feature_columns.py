"""The feature columns of tokens: of the rows they are made of, with items and users joined."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import pyarrow as pa

from rayrank.data.ids import to_ids
from rayrank.data.times import to_ms
from rayrank.errors import DataError
from rayrank.schema import EXPOSURES, PROFILE, Feature, Schema

ColumnFn = Callable[[pa.Array, Feature, str], pa.Array]
"""Turns a raw column, of a feature, into what a row stores; the string says where it is from."""


class FeatureSource:
    """Feature columns of tokens that are rows of a table, with items joined."""

    def __init__(
        self,
        schema: Schema,
        rows: pa.Table,
        time_ms: np.ndarray,
        items: pa.Table | None,
        column: ColumnFn,
        table: str,
    ) -> None:
        """time_ms int64 [rows]: as of when items are joined; table: what to call `rows` in
        errors."""
        self.schema, self.rows, self.column = schema, rows, column
        self.table, self.items, self.item_row = table, items, None
        if items is not None and schema.item in rows.column_names:
            keys = to_ids(rows[schema.item].combine_chunks(), schema.item)
            self.item_row = _rows_of(schema, "items", items, keys.to_numpy(), time_ms)

    def features(self, token: str) -> pa.Table:
        """All features of a token, encoded by `column`, a line per row. Raises DataError."""
        columns = {}
        for name, feature in self.schema.features_of(token).items():
            columns[name] = self.column(
                self._raw(name, feature), feature, self._where(name, feature)
            )
        return pa.table(columns) if columns else self.rows.select([])

    def _raw(self, name: str, feature: Feature) -> pa.Array:
        column = self.schema.column(name)
        if feature.source == "items":
            assert self.items is not None
            return self.items[column].combine_chunks().take(self.item_row)
        return self.rows[column].combine_chunks()

    def _where(self, name: str, feature: Feature) -> str:
        where = f"{feature.source or self.table}: column {self.schema.column(name)!r}"
        if feature.source == "items" and self.item_row is not None and self.item_row.null_count:
            missing = self.rows[self.schema.item].filter(self.item_row.is_null())[0]
            where += f" (item {missing.as_py()!r} is in {self.table} but has no row in items)"
        return where


def profiles(
    schema: Schema, users: pa.Table | None, shown: pa.Table, time_ms: np.ndarray, column: ColumnFn
) -> pa.Table:
    """The profile features of user rows, a line for each. shown: the first exposure of each, and
    time_ms int64 its time, as of which users are joined. Raises DataError."""
    user_keys = shown[schema.user].combine_chunks()
    rows = None
    if users is not None:
        keys = to_ids(user_keys, schema.user).to_numpy()
        rows = _rows_of(schema, "users", users, keys, time_ms)
    columns = {}
    for name, feature in schema.features_of(PROFILE.token).items():
        source_column = schema.column(name)
        where = f"{feature.source or EXPOSURES}: column {source_column!r}"
        if feature.source == "users":
            assert users is not None
            assert rows is not None
            if rows.null_count:
                missing = user_keys.filter(rows.is_null())[0].as_py()
                where += f" (user {missing!r} has exposures but no row in users)"
            raw = users[source_column].combine_chunks().take(rows)
        else:
            raw = shown[source_column].combine_chunks()
        columns[name] = column(raw, feature, where)
    return pa.table(columns)


def _rows_of(
    schema: Schema,
    table: Literal["items", "users"],
    rows: pa.Table,
    keys: np.ndarray,
    time_ms: np.ndarray,
) -> pa.Array:
    """int64 [keys]: the row of each key in a table that is joined, the latest that held at its
    time where rows change; null where there is none."""
    column = schema.item if table == "items" else schema.user
    where = f"{table}: column {column!r}"
    present = to_ids(rows[column].combine_chunks(), where).to_numpy()
    since = np.full(len(present), np.iinfo(np.int64).min)
    if table in schema.as_of:
        changes = schema.as_of[table]
        since = to_ms(rows[changes].combine_chunks(), schema.time_unit, changes).to_numpy()
    order = np.lexsort((since, present))
    present, since = present[order], since[order]
    if ((present[1:] == present[:-1]) & (since[1:] == since[:-1])).any():
        raise DataError(f"{where}: a key occurs twice; expected one row for each")
    # Ranks of all times make (key, time) one sortable number.
    moments = np.unique(np.concatenate([since, time_ms]))
    known, code = np.unique(present, return_inverse=True)
    span = len(moments) + 1
    asked = np.searchsorted(known, keys)
    found = np.searchsorted(
        code * span + np.searchsorted(moments, since),
        asked * span + np.searchsorted(moments, time_ms),
        side="right",
    )
    found = found - 1
    of_key = (found >= 0) & (present[np.maximum(found, 0)] == keys) if len(present) else found >= 0
    return pa.array(order[np.maximum(found, 0)] if len(order) else found, mask=~of_key)
