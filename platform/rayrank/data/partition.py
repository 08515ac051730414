"""One partition of users, from raw tables to user rows. Pure Arrow and NumPy; no Ray."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from rayrank.data.attribution import Outcomes, attribute
from rayrank.data.encode import encode
from rayrank.data.ids import to_ids
from rayrank.data.log import EVENT_TYPE, attributed
from rayrank.data.times import to_ms, window_start
from rayrank.data.user_rows import Behaviours, Candidates, group
from rayrank.errors import DataError, LeakageError
from rayrank.schema import Feature, Schema, Token

ColumnFn = Callable[[pa.Array, Feature, str], pa.Array]


@dataclass(frozen=True)
class Tables:
    """All rows of some users: exposures and events as the log has them, users and items to join."""

    exposures: pa.Table
    events: pa.Table | None
    users: pa.Table | None
    items: pa.Table | None


@dataclass(frozen=True)
class UserRows:
    """User rows, the split of each (int64 [rows]), and how many events found an exposure."""

    rows: pa.Table
    split: np.ndarray
    attributed: int


def build_rows(
    tables: Tables,
    schema: Schema,
    split_times_ms: list[int],
    max_history: int,
    column: ColumnFn = encode,
) -> UserRows:
    """Group the exposures of some users into user rows.

    split_times_ms ascending: an exposure at time t belongs to split number |{s: s <= t}|.
    `column` turns a raw feature column into what the row stores; a replay passes one that keeps
    it raw. Raises DataError for what does not fit, LeakageError for a row that knows its future.
    """
    exposures = tables.exposures
    keys = to_ids(exposures[schema.user].combine_chunks(), schema.user)
    time = to_ms(exposures[schema.time].combine_chunks(), schema.time_unit, schema.time)
    # Within a user by time; exposures of one moment keep the log's order.
    order = np.lexsort((time.to_numpy(), keys.to_numpy()))
    exposures = exposures.take(pa.array(order))
    key = keys.to_numpy()[order]
    time_ms = time.to_numpy()[order]
    first, user = np.unique(key, return_index=True, return_inverse=True)[1:]
    user_keys = exposures[schema.user].combine_chunks().take(pa.array(first))

    observed_at = _observed_at(exposures, schema, time_ms)
    outcomes = _outcomes(exposures, tables.events, schema, key, time_ms, observed_at)
    known_at = _known_at(schema, outcomes, observed_at)
    _check_as_of(exposures, schema, time_ms)

    made = {name: outcomes.label[name].astype(np.int64) for name in attributed(schema)}
    source = FeatureSource(schema, exposures, tables.items, made, column, "exposures")
    is_behaviour = np.ones(len(key), bool)
    if schema.behaviours is not None:
        is_behaviour = outcomes.label[schema.behaviours] == 1
    behaviour_rows = np.flatnonzero(is_behaviour)
    window_ms = window_start(pa.array(time_ms), schema).to_numpy()
    rows, split = group(
        Candidates(
            user=user,
            window_start_ms=window_ms,
            split=np.searchsorted(np.asarray(split_times_ms, np.int64), time_ms, side="right"),
            time_ms=time_ms,
            item=exposures[schema.item].combine_chunks(),
            features=source.features("candidate"),
            labels=pa.table({n: pa.array(v) for n, v in outcomes.label.items()}),
        ),
        Behaviours(
            user=user[behaviour_rows],
            time_ms=time_ms[behaviour_rows],
            known_at_ms=known_at[behaviour_rows],
            features=source.features("behaviour").take(pa.array(behaviour_rows)),
        ),
        profiles(schema, tables.users, user_keys, column),
        user_keys,
        max_history,
    )
    matched = sum(int(outcomes.label[name].sum()) for name in attributed(schema))
    return UserRows(rows, split, matched)


class FeatureSource:
    """Feature columns of exposures (or of any table of shown items), with items joined and columns
    that were made, attributed labels, in place."""

    def __init__(
        self,
        schema: Schema,
        exposures: pa.Table,
        items: pa.Table | None,
        made: dict[str, np.ndarray],
        column: ColumnFn,
        table: str,
    ) -> None:
        """table: what to call `exposures` in errors."""
        self.schema, self.exposures, self.made, self.column = schema, exposures, made, column
        self.table, self.items, self.item_row = table, items, None
        if items is not None:
            self.item_row = _rows_of(
                exposures[schema.item], items[schema.item], "items", schema.item
            )

    def features(self, token: Token) -> pa.Table:
        """All features of a token, encoded by `column`, a line per exposure. Raises DataError."""
        columns = {}
        for name, feature in self.schema.features_of(token).items():
            columns[name] = self.column(
                self._raw(name, feature), feature, self._where(name, feature)
            )
        return pa.table(columns) if columns else self.exposures.select([])

    def _raw(self, name: str, feature: Feature) -> pa.Array:
        column = self.schema.column(name)
        if feature.source == "items":
            assert self.items is not None
            return self.items[column].combine_chunks().take(self.item_row)
        if column in self.made:
            return pa.array(self.made[column])
        return self.exposures[column].combine_chunks()

    def _where(self, name: str, feature: Feature) -> str:
        table = self.table if feature.source == "exposures" else feature.source
        where = f"{table}: column {self.schema.column(name)!r}"
        if feature.source == "items" and self.item_row is not None and self.item_row.null_count:
            missing = self.exposures[self.schema.item].filter(self.item_row.is_null())[0]
            where += f" (item {missing.as_py()!r} is shown but has no row in items)"
        return where


def _rows_of(
    keys: pa.ChunkedArray, table_keys: pa.ChunkedArray, table: str, column: str
) -> pa.Array:
    """The row of each key in a table; null where it has none."""
    where = f"{table}: column {column!r}"
    present = to_ids(table_keys.combine_chunks(), where)
    if len(present.unique()) != len(present):
        raise DataError(f"{where}: a key occurs twice; expected one row for each")
    return pc.index_in(to_ids(keys.combine_chunks(), where), value_set=present)


def profiles(
    schema: Schema, users: pa.Table | None, user_keys: pa.Array, column: ColumnFn
) -> pa.Table:
    """The profile features of some users, a line per key. Raises DataError."""
    rows = None
    if users is not None:
        rows = _rows_of(pa.chunked_array([user_keys]), users[schema.user], "users", schema.user)
    columns = {}
    for name, feature in schema.features_of("profile").items():
        source_column = schema.column(name)
        where = f"{feature.source}: column {source_column!r}"
        if feature.source == "users":
            assert users is not None
            assert rows is not None
            if rows.null_count:
                missing = user_keys.filter(rows.is_null())[0].as_py()
                where += f" (user {missing!r} has exposures but no row in users)"
            raw = users[source_column].combine_chunks().take(rows)
        else:
            raw = user_keys
        columns[name] = column(raw, feature, where)
    return pa.table(columns)


def _observed_at(exposures: pa.Table, schema: Schema, time_ms: np.ndarray) -> np.ndarray:
    if schema.known_at is None:
        return time_ms
    known = to_ms(
        exposures[schema.known_at].combine_chunks(), schema.time_unit, schema.known_at
    ).to_numpy()
    _fail_where(
        known < time_ms,
        exposures,
        schema,
        schema.known_at,
        "says that an outcome was known before its exposure",
    )
    return known


def _check_as_of(exposures: pa.Table, schema: Schema, time_ms: np.ndarray) -> None:
    for column in sorted({f.as_of for f in schema.features.values() if f.as_of}):
        as_of = to_ms(exposures[column].combine_chunks(), schema.time_unit, column).to_numpy()
        _fail_where(
            as_of > time_ms,
            exposures,
            schema,
            column,
            "says that statistics were computed after the exposure that carries them",
        )


def _fail_where(
    future: np.ndarray, exposures: pa.Table, schema: Schema, column: str, what: str
) -> None:
    if future.any():
        user = exposures[schema.user][int(np.argmax(future))].as_py()
        raise LeakageError(
            f"exposures: column {column!r} {what}: {int(future.sum())} rows, the first of user "
            f"{user!r}"
        )


def _outcomes(
    exposures: pa.Table,
    events: pa.Table | None,
    schema: Schema,
    key: np.ndarray,
    time_ms: np.ndarray,
    observed_at: np.ndarray,
) -> Outcomes:
    columns = {
        task.label: exposures[task.label].combine_chunks().cast(pa.float32(), safe=False).to_numpy()
        for task in schema.tasks.values()
        if task.label
    }
    frame = pd.DataFrame({"user": [], "item": [], "time_ms": [], "type": []})
    frame = frame.astype({"user": np.int64, "item": np.int64, "time_ms": np.int64})
    if events is not None and len(events):
        frame = pd.DataFrame(
            {
                "user": to_ids(events[schema.user].combine_chunks(), schema.user).to_numpy(),
                "item": to_ids(events[schema.item].combine_chunks(), schema.item).to_numpy(),
                "time_ms": to_ms(
                    events[schema.time].combine_chunks(), schema.time_unit, schema.time
                ).to_numpy(),
                "type": events[EVENT_TYPE].to_pandas(),
            }
        )
    item = to_ids(exposures[schema.item].combine_chunks(), schema.item).to_numpy()
    return attribute(schema, key, item, time_ms, observed_at, columns, frame)


def _known_at(schema: Schema, outcomes: Outcomes, observed_at: np.ndarray) -> np.ndarray:
    """When the last outcome that a behaviour carries (or is selected by) was known."""
    used = {schema.column(name) for name in schema.features_of("behaviour")}
    used |= {schema.behaviours} if schema.behaviours else set()
    known = observed_at
    for name in attributed(schema) & used:
        known = np.maximum(known, outcomes.known_at[name])
    return known
