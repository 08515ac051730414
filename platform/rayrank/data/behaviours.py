"""What users did, sequence by sequence: from exposures, from tables of its own, from days before.

A table of behaviours has `user`, `time` and `known_at` (int64 ms), and the sequence's features
by name; its order is the log's.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rayrank.data.attribution import Outcomes
from rayrank.data.joined import FeatureSource, Joined, JoinTable
from rayrank.data.prepare import ColumnFn, ids, ms
from rayrank.data.user_rows import Behaviours
from rayrank.schema import Schema

FIXED = ("user", "time", "known_at")


def of_exposures(schema: Schema, name: str, source: FeatureSource, outcomes: Outcomes) -> pa.Table:
    """The exposures that make a sequence, with what they carry; known with the last of it."""
    sequence, exposures = schema.sequences[name], source.rows
    known_at = ms(exposures, schema.time)
    for column in schema.known_at_columns(name):
        known_at = np.maximum(known_at, ms(exposures, column))
    features = source.features(name)
    if sequence.where is None:
        return _table(ids(exposures, "user"), ms(exposures, schema.time), known_at, features)
    picked = np.flatnonzero(outcomes.happened[sequence.where])
    known_at = np.maximum(known_at, outcomes.known_at[sequence.where])[picked]
    time_ms = ms(exposures, schema.time)[picked]
    user = ids(exposures, "user")[picked]
    return _table(user, time_ms, known_at, features.take(pa.array(picked)))


def of_table(
    schema: Schema,
    name: str,
    prepared: pa.Table,
    known_at_columns: list[str],
    joined: Mapping[Joined, JoinTable],
    column: ColumnFn,
    table: str,
) -> pa.Table:
    """The rows of a table that make a sequence; table: what to call it in errors."""
    sequence = schema.sequences[name]
    if sequence.type is not None and "type" in prepared.column_names:
        prepared = prepared.filter(pc.equal(prepared["type"], sequence.type))
    time_ms = ms(prepared, schema.time_column(name))
    known_at = time_ms
    for at in known_at_columns:
        known_at = np.maximum(known_at, ms(prepared, at))
    source = FeatureSource(schema, prepared, time_ms, joined, column, table)
    return _table(ids(prepared, "user"), time_ms, known_at, source.features(name))


def of_users(table: pa.Table, user_keys: np.ndarray, keep: int) -> Behaviours:
    """Those of the users whose ids are user_keys (int64 [users], ascending); what others did is
    nobody's."""
    key = table["user"].to_numpy()
    user = np.searchsorted(user_keys, key)
    mine = user < len(user_keys)
    mine[mine] = user_keys[user[mine]] == key[mine]
    if not mine.all():
        table, user = table.filter(pa.array(mine)), user[mine]
    return Behaviours(
        user,
        table["time"].to_numpy(),
        table["known_at"].to_numpy(),
        table.drop_columns(list(FIXED)),
        keep,
    )


def _table(
    user_id: np.ndarray, time_ms: np.ndarray, known_at_ms: np.ndarray, features: pa.Table
) -> pa.Table:
    columns = {"user": user_id, "time": time_ms, "known_at": known_at_ms}
    fixed = {name: pa.array(values) for name, values in columns.items()}
    return pa.table(fixed | {name: features[name] for name in features.column_names})
