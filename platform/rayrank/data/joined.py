"""Items and users joined to the rows they belong to, and the feature columns of tokens."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from rayrank.data.prepare import ColumnFn, as_logged, ids, ms
from rayrank.errors import DataError
from rayrank.schema import Feature, Schema

Joined = Literal["items", "users"]
KEY_OF: dict[Joined, str] = {"items": "item", "users": "user"}


@dataclass(frozen=True)
class JoinTable:
    """Rows that are joined by key, and by time where they change: sorted by both."""

    keys: np.ndarray
    """int64 [rows]"""
    since_ms: np.ndarray | None
    """int64 [rows]: from when each holds; None where rows do not change."""
    features: pa.Table
    """`feature.NAME` [rows]"""

    @staticmethod
    def of(prepared: pa.Table, schema: Schema, name: Joined, where: str) -> "JoinTable":
        """Of all prepared rows of `items` or `users`. Raises DataError for a key twice."""
        keys = ids(prepared, KEY_OF[name])
        since = ms(prepared, schema.as_of[name]) if name in schema.as_of else None
        order = np.argsort(keys, kind="stable") if since is None else np.lexsort((since, keys))
        keys = keys[order]
        since = None if since is None else since[order]
        twice = keys[1:] == keys[:-1]
        if since is not None:
            twice &= since[1:] == since[:-1]
        if twice.any():
            column = schema.item if name == "items" else schema.user
            raise DataError(
                f"{where}: column {column!r}: a key occurs twice; expected one row for each"
            )
        features = [c for c in prepared.column_names if c.startswith("feature.")]
        return JoinTable(
            keys, since, prepared.select(features).take(pa.array(order)).combine_chunks()
        )

    def rows(self, keys: np.ndarray, time_ms: np.ndarray) -> pa.Array:
        """int64 [keys]: the row of each key, the latest that held at its time where rows change;
        null where there is none."""
        if len(self.keys) == 0:
            return pa.nulls(len(keys), pa.int64())
        if self.since_ms is None:
            found = np.searchsorted(self.keys, keys, side="right") - 1
        else:
            # Ranks of all keys and times make (key, time) one sortable number.
            known, code = np.unique(self.keys, return_inverse=True)
            moments = np.unique(np.concatenate([self.since_ms, time_ms]))
            span = len(moments) + 1
            since = code * span + np.searchsorted(moments, self.since_ms)
            asked = np.searchsorted(known, keys) * span + np.searchsorted(moments, time_ms)
            found = np.searchsorted(since, asked, side="right") - 1
        found = np.maximum(found, 0)
        return pa.array(found, mask=(self.keys[found] != keys) | self._too_late(found, time_ms))

    def _too_late(self, found: np.ndarray, time_ms: np.ndarray) -> np.ndarray:
        if self.since_ms is None:
            return np.zeros(len(found), bool)
        late: np.ndarray = self.since_ms[found] > time_ms
        return late


class FeatureSource:
    """The feature columns of tokens that are prepared rows, with items and users joined."""

    def __init__(
        self,
        schema: Schema,
        rows: pa.Table,
        time_ms: np.ndarray,
        joined: Mapping[Joined, JoinTable],
        column: ColumnFn,
        table: str,
    ) -> None:
        """time_ms int64 [rows]: as of when items and users are joined; column: prepares what is
        missing there; table: what to call `rows` in errors."""
        self.schema, self.rows, self.time_ms = schema, rows, time_ms
        self.joined, self.column, self.table = joined, column, table
        self._found: dict[Joined, pa.Array] = {}

    def features(self, token: str) -> pa.Table:
        """All features of a token, by name, a line per row. Raises DataError for a row of which
        nothing is known in the table that is joined, where there is no default."""
        columns = {}
        for name, feature in self.schema.given_features_of(token).items():
            if feature.source is None:
                columns[name] = self.rows[f"feature.{name}"].combine_chunks()
            else:
                columns[name] = self._joined(name, feature, feature.source)
        return pa.table(columns) if columns else self.rows.select([])

    def _joined(self, name: str, feature: Feature, source: Joined) -> pa.Array:
        if source not in self._found:
            keys = ids(self.rows, KEY_OF[source])
            self._found[source] = self.joined[source].rows(keys, self.time_ms)
        found = self._found[source]
        values = self.joined[source].features[f"feature.{name}"].combine_chunks()
        if found.null_count == 0:
            return values.take(found)
        where = f"{source}: column {self.schema.column(name)!r}"
        if feature.default is None and feature.kind != "ids":
            missing = as_logged(self.rows, KEY_OF[source]).filter(found.is_null())[0].as_py()
            what = (
                f"item {missing!r} is in {self.table} but has no row in items"
                if source == "items"
                else f"user {missing!r} has exposures but no row in users"
            )
            raise DataError(
                f"{where} ({what}): {found.null_count} of {len(found)} rows are without; expected "
                "a row there, or a default in the schema"
            )
        default = self.column(pa.nulls(1), feature, where).cast(values.type)
        return pa.concat_arrays([values, default]).take(found.fill_null(len(values)))
