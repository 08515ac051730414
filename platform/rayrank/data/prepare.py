"""Raw rows of a table, each value encoded once: what the shuffle carries and grouping reads.

A prepared table has the columns, those that its table needs:

    user_id, item_id, request_id    int64 keys; `user` and `item` too, as the log has them, where
                                    the exposures' are no int64
    ms.COLUMN                       int64 ms, of each column of times
    label.TASK                      float32 of 0 and 1, NaN where it is unknown
    weight                          float32 from 0
    type                            what happened
    feature.NAME                    of the table's own columns, as a user row stores it
"""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rayrank.data.encode import encode
from rayrank.data.ids import id_type, to_ids
from rayrank.data.labels import to_labels
from rayrank.data.log import EVENT_TYPE, keys_of, tables_of, times_of, types_used
from rayrank.data.times import to_ms
from rayrank.errors import DataError, LeakageError
from rayrank.schema import EXPOSURES, Feature, Schema

ColumnFn = Callable[[pa.Array, Feature, str], pa.Array]
"""Turns a raw column, of a feature, into what a row stores; the string says where it is from."""

WEIGHT = Feature(tokens=["candidate"], kind="number")
TOO_EARLY = "says that an outcome was known before it happened"
TOO_LATE = "says that statistics were computed after the exposure that carries them"


def prepare(rows: pa.Table, schema: Schema, table: str, column: ColumnFn, where: str) -> pa.Table:
    """Prepare some rows of a table of the log; where says in errors whose they are.

    Rows of a type that the schema does not name are left out. Raises DataError for a value that
    does not fit, LeakageError for a row that knows its future.
    """
    if used := types_used(schema, table):
        check_type_column(rows[EVENT_TYPE], where)
        if not types_mixed(schema, table):
            rows = rows.filter(pc.is_in(rows[EVENT_TYPE], pa.array(sorted(used))))
    features = features_in(schema, table)
    kinds = {"user": schema.user, "item": schema.item, "request": schema.request}
    named = {key: name for name, key in kinds.items()}
    keys = {named[key]: key for key in keys_of(schema, table)}
    # Labels first: of a column that a behaviour carries too, they say more.
    columns = _labels(rows, schema, where) if table == EXPOSURES else {}
    columns |= prepare_columns(rows, schema, keys, times_of(schema, table), features, column, where)
    if table == EXPOSURES:
        columns |= keys_as_logged(rows, schema)
    if used:
        columns["type"] = rows[EVENT_TYPE].combine_chunks()
    _check_times(rows, columns, schema, table, where)
    return pa.table(columns)


def features_in(schema: Schema, table: str) -> dict[str, Feature]:
    """The features that are columns of a table."""
    return {
        name: feature
        for name, feature in schema.features.items()
        if feature.kind != "cross"
        and table in ({feature.source} if feature.source else tables_of(schema, name))
    }


def prepare_columns(
    rows: pa.Table,
    schema: Schema,
    keys: Mapping[str, str],
    times: Iterable[str],
    features: Mapping[str, Feature],
    column: ColumnFn,
    where: str,
) -> dict[str, pa.Array]:
    """The prepared columns of keys ({"user": COLUMN, …}), times and features."""
    columns: dict[str, pa.Array] = {}
    for name, key in keys.items():
        if rows[key].null_count:
            raise DataError(f"{where}: column {key!r}: {rows[key].null_count} keys are missing")
        columns[f"{name}_id"] = to_ids(rows[key].combine_chunks(), f"{where}: column {key!r}")
    for time in sorted(times):
        said = f"{where}: column {time!r}"
        raw, zone = rows[time].combine_chunks(), schema.timestamp_zone
        columns[f"ms.{time}"] = to_ms(raw, schema.time_unit, said, zone)
    for name, feature in features.items():
        of = schema.column(name)
        said = f"{where}: column {of!r}"
        columns[f"feature.{name}"] = column(rows[of].combine_chunks(), feature, said)
    return columns


def keys_as_logged(rows: pa.Table, schema: Schema) -> dict[str, pa.Array]:
    """Users and items as the log has them, where that is another type than their int64 ids."""
    return {
        name: rows[key].combine_chunks()
        for name, key in (("user", schema.user), ("item", schema.item))
        if rows[key].type != pa.int64()
    }


def ms(prepared: pa.Table, column: str) -> np.ndarray:
    """int64 ms [rows] of a column of times."""
    times: np.ndarray = prepared[f"ms.{column}"].to_numpy()
    return times


def ids(prepared: pa.Table, key: str) -> np.ndarray:
    """int64 [rows] of a key: `user`, `item`, `request`."""
    found: np.ndarray = prepared[f"{key}_id"].to_numpy()
    return found


def as_logged(prepared: pa.Table, key: str) -> pa.Array:
    """The keys of exposures, `user` or `item`, as the log has them."""
    name = key if key in prepared.column_names else f"{key}_id"
    return prepared[name].combine_chunks()


def check_type_column(types: pa.ChunkedArray, where: str) -> None:
    """Raises DataError for types that are no strings, or missing."""
    if id_type(types.type) != "string":
        raise DataError(f"{where}: column {EVENT_TYPE!r}: expected strings, found {types.type}")
    if types.null_count:
        raise DataError(f"{where}: column {EVENT_TYPE!r}: {types.null_count} types are missing")


def types_mixed(schema: Schema, table: str) -> bool:
    """Whether a sequence takes rows of every type of a table."""
    return any(s.table == table and s.type is None for s in schema.sequences.values())


def _labels(rows: pa.Table, schema: Schema, where: str) -> dict[str, pa.Array]:
    columns = {}
    for name, task in schema.tasks.items():
        if task.label_column is not None:
            raw = rows[task.label_column].combine_chunks()
            said = f"{where}: column {task.label_column!r}"
            columns[f"label.{name}"] = pa.array(to_labels(raw, task, said))
    if schema.weight is not None:
        said = f"{where}: column {schema.weight!r}"
        weights = encode(rows[schema.weight], WEIGHT, said)
        if pc.any(pc.less(weights, 0)).as_py():
            row = pc.index(pc.less(weights, 0), True).as_py()
            raise DataError(f"{said}: row {row} holds {weights[row]}; expected a weight from 0")
        columns["weight"] = weights
    return columns


def fail_where(
    future: np.ndarray, rows: pa.Table, schema: Schema, column: str, what: str, where: str
) -> None:
    """Raises LeakageError that names the user of the first of those raw rows."""
    if future.any():
        user = rows[schema.user][int(np.argmax(future))].as_py()
        raise LeakageError(
            f"{where}: column {column!r} {what}: {int(future.sum())} rows, the first of user "
            f"{user!r}"
        )


def _check_times(
    rows: pa.Table, columns: Mapping[str, pa.Array], schema: Schema, table: str, where: str
) -> None:
    """Nothing is known before it happens, no statistic computed after the exposure it stands in."""
    times = {column: columns[f"ms.{column}"].to_numpy() for column in times_of(schema, table)}
    if table == EXPOSURES:
        shown = times[schema.time]
        for at in sorted(set(schema.outcome_known_at.values())):
            fail_where(times[at] < shown, rows, schema, at, TOO_EARLY, where)
        for at in sorted({f.as_of for f in schema.features.values() if f.as_of}):
            fail_where(times[at] > shown, rows, schema, at, TOO_LATE, where)
        return
    for name, sequence in schema.sequences.items():
        if sequence.table == table and sequence.known_at is not None:
            happened, at = times[schema.time_column(name)], sequence.known_at
            fail_where(times[at] < happened, rows, schema, at, TOO_EARLY, where)
