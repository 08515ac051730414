"""The feature columns of tokens: of the rows they are made of, with items and users joined."""

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
import pyarrow as pa

from rayrank.data.ids import to_ids
from rayrank.data.times import column_ms
from rayrank.errors import DataError
from rayrank.schema import Feature, Schema

ColumnFn = Callable[[pa.Array, Feature, str], pa.Array]
"""Turns a raw column, of a feature, into what a row stores; the string says where it is from."""


Tables = Mapping[str, pa.Table]
"""All rows of some users, by table: exposures, events and others as the log has them, users and
items to join. Those that `tables_needed` names must be there."""

Joined = Literal["items", "users"]


class FeatureSource:
    """Feature columns of tokens that are rows of a table, with items and users joined."""

    def __init__(
        self,
        schema: Schema,
        rows: pa.Table,
        time_ms: np.ndarray,
        tables: Tables,
        column: ColumnFn,
        table: str,
    ) -> None:
        """time_ms int64 [rows]: as of when items and users of `tables` are joined; table: what to
        call `rows` in errors."""
        self.schema, self.rows, self.time_ms = schema, rows, time_ms
        self.tables, self.column, self.table = tables, column, table
        self._joined: dict[Joined, pa.Array] = {}

    def features(self, token: str) -> pa.Table:
        """All features of a token, encoded by `column`, a line per row. Raises DataError."""
        columns = {}
        for name, feature in self.schema.features_of(token).items():
            raw, where = self._raw(feature, self.schema.column(name))
            columns[name] = self.column(raw, feature, where)
        return pa.table(columns) if columns else self.rows.select([])

    def _raw(self, feature: Feature, column: str) -> tuple[pa.Array, str]:
        """The column as the log has it, and where that is from."""
        where = f"{feature.source or self.table}: column {column!r}"
        if feature.source is None:
            return self.rows[column].combine_chunks(), where
        joined = self._rows_of(feature.source)
        if joined.null_count:
            key = self._key(feature.source)
            missing = self.rows[key].filter(joined.is_null())[0].as_py()
            if feature.source == "items":
                where += f" (item {missing!r} is in {self.table} but has no row in items)"
            else:
                where += f" (user {missing!r} has exposures but no row in users)"
        return self.tables[feature.source][column].combine_chunks().take(joined), where

    def _rows_of(self, table: Joined) -> pa.Array:
        """The row of each of ours in a table that is joined, found when it is first asked for."""
        if table not in self._joined:
            key = self._key(table)
            keys = to_ids(self.rows[key].combine_chunks(), key).to_numpy()
            self._joined[table] = _rows_of(
                self.schema, table, self.tables[table], keys, self.time_ms
            )
        return self._joined[table]

    def _key(self, table: Joined) -> str:
        return self.schema.item if table == "items" else self.schema.user


def _rows_of(
    schema: Schema,
    table: Joined,
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
        since = column_ms(rows, schema.as_of[table], schema)
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
