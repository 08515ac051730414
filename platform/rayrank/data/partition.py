"""One partition of users, from raw tables to user rows. Pure Arrow and NumPy; no Ray."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from rayrank.data.attribution import Outcomes, attribute
from rayrank.data.encode import encode
from rayrank.data.feature_columns import ColumnFn, FeatureSource, Tables
from rayrank.data.ids import to_ids
from rayrank.data.labels import to_labels
from rayrank.data.log import EVENT_TYPE, EVENTS
from rayrank.data.times import column_ms, window_start
from rayrank.data.user_rows import Behaviours, Candidates, group, row_starts
from rayrank.errors import LeakageError
from rayrank.schema import CANDIDATES, EXPOSURES, PROFILE, Schema, Sequence

OBSERVED = (EXPOSURES, EVENTS)
"""The tables whose last row tells how far a log goes."""
KNOWN_TOO_EARLY = "says that an outcome was known before it happened"


@dataclass(frozen=True)
class UserRows:
    """User rows, the split of each (int64 [rows]), and to how many exposures an event belongs."""

    rows: pa.Table
    split: np.ndarray
    attributed: int


def build_rows(
    tables: Tables,
    schema: Schema,
    split_times_ms: list[int],
    complete_until_ms: int | None = None,
    column: ColumnFn = encode,
) -> UserRows:
    """Group the exposures of some users into user rows.

    split_times_ms ascending: an exposure at time t belongs to split number |{s: s <= t}|.
    complete_until_ms: labels whose time ends later are unknown; that of the tables' last exposure
    or event unless said.
    `column` turns a raw feature column into what the row stores; a replay passes one that keeps
    it raw. Raises DataError for what does not fit, LeakageError for a row that knows its future.
    """
    exposures = tables[EXPOSURES]
    keys = to_ids(exposures[schema.user].combine_chunks(), schema.user)
    time = column_ms(exposures, schema.time, schema)
    # Within a user by time; exposures of one moment keep the log's order.
    order = np.lexsort((time, keys.to_numpy()))
    exposures, time_ms, key = exposures.take(pa.array(order)), time[order], keys.to_numpy()[order]
    unique, first, user = np.unique(key, return_index=True, return_inverse=True)
    user_keys = exposures[schema.user].combine_chunks().take(pa.array(first))

    _check_as_of(exposures, schema, time_ms)
    if complete_until_ms is None:
        complete_until_ms = max(last_ms(tables[t], schema) for t in OBSERVED if t in tables)
    outcomes = _outcomes(exposures, tables, schema, key, time_ms, complete_until_ms)
    asked_ms = asked_at(exposures, schema, key, time_ms)
    source = FeatureSource(schema, exposures, asked_ms, tables, column, EXPOSURES)
    by_request = pa.array(np.lexsort((asked_ms, user)))
    asked_ms = asked_ms[by_request]
    candidates = Candidates(
        user=user,  # which ascends, and so stays as it is
        window_start_ms=window_start(pa.array(asked_ms), schema).to_numpy(),
        split=np.searchsorted(np.asarray(split_times_ms, np.int64), asked_ms, side="right"),
        time_ms=asked_ms,
        item=exposures[schema.item].combine_chunks().take(by_request),
        features=source.features(CANDIDATES.token).take(by_request),
        labels=_of_tasks(schema, outcomes.label).take(by_request),
        labels_known_at=_of_tasks(schema, outcomes.known_at).take(by_request),
    )
    starts = row_starts(candidates)
    shown_first = exposures.take(by_request.take(pa.array(starts)))
    users = FeatureSource(schema, shown_first, asked_ms[starts], tables, column, EXPOSURES)
    rows, split = group(
        candidates,
        {
            name: _of_exposures(schema, name, source, user, time_ms, outcomes)
            if sequence.table == EXPOSURES
            else behaviours_of(schema, name, _typed(tables, sequence), tables, unique, column)
            for name, sequence in schema.sequences.items()
        },
        users.features(PROFILE.token),
        user_keys,
    )
    matched = sum(int(outcomes.happened[name].sum()) for name in schema.attributed)
    return UserRows(rows, split, matched)


def asked_at(
    exposures: pa.Table, schema: Schema, key: np.ndarray, time_ms: np.ndarray
) -> np.ndarray:
    """int64 ms [exposures]: when each was asked for, which decides what its candidate may see: the
    time of its request's first exposure (key says whose they are), or its own."""
    if schema.request is None:
        return time_ms
    request = to_ids(exposures[schema.request].combine_chunks(), schema.request).to_numpy()
    shown = pd.DataFrame({"user": key, "request": request, "time_ms": time_ms})
    asked: np.ndarray = shown.groupby(["user", "request"])["time_ms"].transform("min").to_numpy()
    return asked


def _of_tasks(schema: Schema, columns: dict[str, np.ndarray]) -> pa.Table:
    """NaN becomes null."""
    return pa.table({task: pa.array(columns[task], from_pandas=True) for task in schema.tasks})


def last_ms(rows: pa.Table, schema: Schema) -> int:
    """The latest of the schema's `time` in a table; 0 of none, before all times."""
    if len(rows) == 0 or schema.time not in rows.column_names:
        return 0
    return int(column_ms(rows, schema.time, schema).max())


def _of_exposures(
    schema: Schema,
    name: str,
    source: FeatureSource,
    user: np.ndarray,
    time_ms: np.ndarray,
    outcomes: Outcomes,
) -> Behaviours:
    """The exposures that make a sequence, with what they carry."""
    sequence, exposures = schema.sequences[name], source.rows
    known_at = time_ms
    for column in schema.known_at_columns(name):
        known_at = np.maximum(known_at, column_ms(exposures, column, schema))
    picked = np.arange(len(user))
    if sequence.where is not None:
        picked = np.flatnonzero(outcomes.happened[sequence.where])
        known_at = np.maximum(known_at, outcomes.known_at[sequence.where])
    return Behaviours(
        user[picked],
        time_ms[picked],
        known_at[picked],
        source.features(name).take(pa.array(picked)),
        sequence.keep,
    )


def _typed(tables: Tables, sequence: Sequence) -> pa.Table:
    rows = tables[sequence.table]
    if sequence.type is None:
        return rows
    return rows.filter(pc.equal(rows[EVENT_TYPE], sequence.type))


def known_at_columns(schema: Schema, name: str) -> list[str]:
    """The columns that say when the rows of a sequence were known, in a table that was made for
    it. What follows from events has no such column in the log: there it is called `known_at`."""
    follows = schema.sequences[name].where in schema.attributed
    return [*schema.known_at_columns(name), *(["known_at"] if follows else [])]


def behaviours_of(
    schema: Schema,
    name: str,
    rows: pa.Table,
    tables: Tables,
    user_keys: np.ndarray,
    column: ColumnFn,
    table: str | None = None,
) -> Behaviours:
    """The rows of a sequence as behaviours of the users whose ids are user_keys; what others did
    is nobody's. tables holds items, where a feature comes from them; table: what to call `rows` in
    errors. Raises DataError, and LeakageError for what was known before it happened.
    """
    sequence = schema.sequences[name]
    table = table or sequence.table
    keys = to_ids(rows[schema.user].combine_chunks(), schema.user)
    user = pc.index_in(keys, value_set=pa.array(user_keys))
    rows, user = rows.filter(user.is_valid()), user.drop_null().cast(pa.int64()).to_numpy()
    time_ms = column_ms(rows, schema.time_column(name), schema)
    known_at = time_ms
    for at in known_at_columns(schema, name):
        at_ms = column_ms(rows, at, schema)
        _fail_where(at_ms < time_ms, rows, table, schema, at, KNOWN_TOO_EARLY)
        known_at = np.maximum(known_at, at_ms)
    features = FeatureSource(schema, rows, time_ms, tables, column, table)
    return Behaviours(user, time_ms, known_at, features.features(name), sequence.keep)


def _check_as_of(exposures: pa.Table, schema: Schema, time_ms: np.ndarray) -> None:
    for column in sorted({f.as_of for f in schema.features.values() if f.as_of}):
        as_of = column_ms(exposures, column, schema)
        what = "says that statistics were computed after the exposure that carries them"
        _fail_where(as_of > time_ms, exposures, EXPOSURES, schema, column, what)


def _fail_where(
    future: np.ndarray, rows: pa.Table, table: str, schema: Schema, column: str, what: str
) -> None:
    if future.any():
        user = rows[schema.user][int(np.argmax(future))].as_py()
        raise LeakageError(
            f"{table}: column {column!r} {what}: {int(future.sum())} rows, the first of user "
            f"{user!r}"
        )


def _outcomes(
    exposures: pa.Table,
    tables: Tables,
    schema: Schema,
    key: np.ndarray,
    time_ms: np.ndarray,
    complete_until_ms: int,
) -> Outcomes:
    """Labels and when they were known, from columns of the exposures and from events."""
    known_at: dict[str, np.ndarray] = {}
    for column in sorted(set(schema.outcome_known_at.values())):
        known_at[column] = column_ms(exposures, column, schema)
        _fail_where(
            known_at[column] < time_ms, exposures, EXPOSURES, schema, column, KNOWN_TOO_EARLY
        )
    labelled = {n: task for n, task in schema.tasks.items() if task.label_column is not None}
    columns = Outcomes.of_columns(
        {
            name: to_labels(exposures[task.label_column].combine_chunks(), task, str(task.label))
            for name, task in labelled.items()
        },
        {name: known_at[schema.label_known_at(name)] for name in labelled},
    )
    item = to_ids(exposures[schema.item].combine_chunks(), schema.item).to_numpy()
    events = _events(tables.get(EVENTS), schema)
    return attribute(schema, key, item, time_ms, columns, events, complete_until_ms)


def _events(events: pa.Table | None, schema: Schema) -> pd.DataFrame:
    """The events that labels are attributed from: user, item, time_ms, type."""
    if not schema.attributed or events is None or len(events) == 0:
        frame = pd.DataFrame({"user": [], "item": [], "time_ms": [], "type": []})
        return frame.astype({"user": np.int64, "item": np.int64, "time_ms": np.int64})
    return pd.DataFrame(
        {
            "user": to_ids(events[schema.user].combine_chunks(), schema.user).to_numpy(),
            "item": to_ids(events[schema.item].combine_chunks(), schema.item).to_numpy(),
            "time_ms": column_ms(events, schema.time, schema),
            "type": events[EVENT_TYPE].to_pandas(),
        }
    )
