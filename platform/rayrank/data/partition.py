"""One partition of users, from the log's tables to user rows. Pure Arrow and NumPy; no Ray."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa

from rayrank.data.attribution import Outcomes, attribute
from rayrank.data.behaviours import of_exposures, of_table, of_users
from rayrank.data.crosses import with_crosses
from rayrank.data.encode import encode
from rayrank.data.joined import KEY_OF, FeatureSource, Joined, JoinTable
from rayrank.data.log import EVENTS, tables_needed
from rayrank.data.prepare import ColumnFn, as_logged, ids, ms, prepare
from rayrank.data.times import window_start
from rayrank.data.user_rows import Candidates, group, row_starts, starts_of
from rayrank.errors import DataError
from rayrank.schema import CANDIDATES, EXPOSURES, PROFILE, Schema

Tables = Mapping[str, pa.Table]
"""By name, all of the log's rows of some users; items and users to join. Those that
`tables_needed` names must be there."""
RowOrder = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""int64 [rows] of rows' user ids, window starts and splits."""
OBSERVED = (EXPOSURES, EVENTS)
"""The tables whose last row tells how far a log goes."""


@dataclass(frozen=True)
class Cuts:
    """Where a log is cut, in int64 ms."""

    splits: list[int]
    """Ascending: an exposure at time t belongs to split number |{s: s <= t}|."""
    complete_until: int
    """Labels whose time ends later are unknown."""
    since: int | None = None
    """Rows of windows that start earlier are not made."""
    until: int | None = None
    """Nor are those of windows that start then or later."""


@dataclass(frozen=True)
class UserRows:
    """User rows, the split of each, and to how many of its exposures an event belongs (int64
    [rows] each)."""

    rows: pa.Table
    split: np.ndarray
    attributed: np.ndarray
    behaviours: dict[str, pa.Table] = field(default_factory=dict)
    """Of every sequence all that was found, as `data.behaviours` says."""
    events: dict[str, tuple[int, int]] = field(default_factory=dict)
    """As `Outcomes.events`."""


def build_rows(
    tables: Tables,
    schema: Schema,
    split_times_ms: list[int],
    complete_until_ms: int | None = None,
    column: ColumnFn = encode,
) -> UserRows:
    """Group the exposures of some users into user rows, from raw tables.

    split_times_ms as `Cuts.splits`; complete_until_ms: that of the tables' last exposure or event
    unless said. `column` turns a raw feature column into what the row stores; a replay passes one
    that keeps it raw. Raises DataError for what does not fit, LeakageError for a row that knows its
    future.
    """
    prepared = {
        table: prepare(tables[table], schema, table, column, table)
        for table in tables_needed(schema)
    }
    if complete_until_ms is None:
        complete_until_ms = max(last_ms(prepared[t], schema) for t in OBSERVED if t in prepared)
    joined = {
        name: JoinTable.of(prepared.pop(name), schema, name, name)
        for name in KEY_OF
        if name in prepared
    }
    return group_users(prepared, joined, schema, Cuts(split_times_ms, complete_until_ms), column)


def group_users(
    prepared: Tables,
    joined: Mapping[Joined, JoinTable],
    schema: Schema,
    cuts: Cuts,
    column: ColumnFn = encode,
    earlier: Mapping[str, pa.Table] | None = None,
    row_order: RowOrder | None = None,
) -> UserRows:
    """Group prepared tables (all but those joined).

    earlier: of every sequence what happened before `cuts.since`, of which the tables need not tell.
    row_order: how rows stand, by user and window unless said.
    """
    exposures = prepared[EXPOSURES]
    time_ms, key = ms(exposures, schema.time), ids(exposures, "user")
    # Within a user by time; exposures of one moment keep the log's order.
    order = np.lexsort((time_ms, key))
    exposures, time_ms, key = exposures.take(pa.array(order)), time_ms[order], key[order]
    firsts = starts_of(key)
    unique, user = (
        key[firsts],
        np.repeat(np.arange(len(firsts)), np.diff(np.append(firsts, len(key)))),
    )
    if schema.duplicates == "refuse":
        _refuse_duplicates(exposures, schema)

    outcomes = _outcomes(exposures, prepared, schema, cuts.complete_until)
    asked_ms = asked_at(key, ids(exposures, "request") if schema.request else None, time_ms)
    source = FeatureSource(schema, exposures, asked_ms, joined, column, EXPOSURES)
    behaviours = {}
    for name, sequence in schema.sequences.items():
        if sequence.table == EXPOSURES:
            found = of_exposures(schema, name, source, outcomes)
        else:
            at = schema.known_at_columns(name)
            rows = prepared[sequence.table]
            found = of_table(schema, name, rows, at, joined, column, sequence.table)
        if earlier is not None and cuts.since is not None:
            # What happened before is told already.
            found = found.filter(pa.array(found["time"].to_numpy() >= cuts.since))
            found = pa.concat_tables([earlier[name].cast(found.schema), found])
        behaviours[name] = found.combine_chunks()

    windows = window_start(pa.array(asked_ms), schema).to_numpy()
    asked = np.lexsort((asked_ms, user))
    if cuts.since is not None:
        asked = asked[windows[asked] >= cuts.since]
    if cuts.until is not None:
        asked = asked[windows[asked] < cuts.until]
    picked = pa.array(asked)
    features = source.features(CANDIDATES.token).take(picked)
    exposures, asked_ms = exposures.take(picked), asked_ms[asked]
    candidates = Candidates(
        user=user[asked],  # which ascends
        window_start_ms=windows[asked],
        split=np.searchsorted(np.asarray(cuts.splits, np.int64), asked_ms, side="right"),
        time_ms=asked_ms,
        item=as_logged(exposures, "item"),
        features=features,
        labels=_of_tasks(schema, outcomes.label).take(picked),
        labels_known_at=_of_tasks(schema, outcomes.known_at).take(picked),
        weight=exposures["weight"].combine_chunks() if schema.weight is not None else None,
    )
    starts = row_starts(candidates)
    first = exposures.take(pa.array(starts))
    users = FeatureSource(schema, first, asked_ms[starts], joined, column, EXPOSURES)
    matched = np.zeros(len(asked), np.int64)
    for name in schema.attributed:
        matched += outcomes.happened[name][asked]
    attributed = np.add.reduceat(matched, starts) if len(starts) else matched
    of_rows = np.arange(len(starts))
    if row_order is not None:
        keys = (unique[candidates.user], candidates.window_start_ms, candidates.split)
        of_rows = row_order(*(key[starts] for key in keys))
    profiles = users.features(PROFILE.token)
    sequences = {n: of_users(b, unique, schema.sequences[n].keep) for n, b in behaviours.items()}
    if column is encode:  # raw values, of a replay, are as a request sends them
        candidates, sequences, profiles = with_crosses(schema, candidates, sequences, profiles)
    rows, split = group(candidates, sequences, profiles, as_logged(first, "user"), of_rows)
    return UserRows(rows, split, attributed[of_rows], behaviours, outcomes.events)


def _refuse_duplicates(exposures: pa.Table, schema: Schema) -> None:
    """Raises DataError for exposures that are alike in every column (of one value)."""
    of = [ids(exposures, "user"), ids(exposures, "item"), ms(exposures, schema.time)]
    shown = pd.DataFrame(dict(enumerate(of)))
    alike = shown.duplicated(keep=False).to_numpy()
    if not alike.any():
        return
    flat = [f.name for f in exposures.schema if not pa.types.is_nested(f.type)]
    suspects = exposures.filter(pa.array(alike))
    twins = suspects.select(flat).to_pandas().duplicated().to_numpy()
    if twins.any():
        first = pa.array(twins.nonzero()[0][:1])
        user, item = (as_logged(suspects, key).take(first)[0].as_py() for key in ("user", "item"))
        raise DataError(
            f"exposures: {int(twins.sum())} rows are there twice, alike in every column that the "
            f"schema reads; the first of user {user!r} and item {item!r}. Remove them, or say "
            "duplicates: keep in the schema"
        )


def asked_at(user: np.ndarray, request: np.ndarray | None, time_ms: np.ndarray) -> np.ndarray:
    """int64 ms [exposures]: when each was asked for, which decides what its candidate may see: the
    time of its request's first exposure, or its own where there are no requests (all int64)."""
    if request is None:
        return time_ms
    shown = pd.DataFrame({"user": user, "request": request, "time_ms": time_ms})
    asked: np.ndarray = shown.groupby(["user", "request"])["time_ms"].transform("min").to_numpy()
    return asked


def last_ms(prepared: pa.Table, schema: Schema) -> int:
    """The latest of the schema's `time` in a table; 0 of none, before all times."""
    if len(prepared) == 0 or f"ms.{schema.time}" not in prepared.column_names:
        return 0
    return int(ms(prepared, schema.time).max())


def _of_tasks(schema: Schema, columns: dict[str, np.ndarray]) -> pa.Table:
    """NaN becomes null."""
    return pa.table({task: pa.array(columns[task], from_pandas=True) for task in schema.tasks})


def _outcomes(
    exposures: pa.Table, prepared: Tables, schema: Schema, complete_until_ms: int
) -> Outcomes:
    """Labels and when they were known, from columns of the exposures and from events."""
    labelled = [n for n, task in schema.tasks.items() if task.label_column is not None]
    columns = Outcomes.of_columns(
        {name: exposures[f"label.{name}"].to_numpy() for name in labelled},
        {name: ms(exposures, schema.label_known_at(name)) for name in labelled},
    )
    user, time_ms = ids(exposures, "user"), ms(exposures, schema.time)
    item = ids(exposures, "item")
    events = _events(prepared.get(EVENTS), schema)
    return attribute(schema, user, item, time_ms, columns, events, complete_until_ms)


def _events(events: pa.Table | None, schema: Schema) -> pd.DataFrame:
    """The events that labels are attributed from: user, item, time_ms, type."""
    if not schema.attributed or events is None or len(events) == 0:
        frame = pd.DataFrame({"user": [], "item": [], "time_ms": [], "type": []})
        return frame.astype({"user": np.int64, "item": np.int64, "time_ms": np.int64})
    return pd.DataFrame(
        {
            "user": ids(events, "user"),
            "item": ids(events, "item"),
            "time_ms": ms(events, schema.time),
            "type": events["type"].to_pandas(),
        }
    )
