"""Scoring tables with a bundle: no server, no cluster.

The tables are those of the log, under its column names, as pandas or Arrow has them. From their
columns on the code is the training reader's: `FeatureSource`, `group`, `to_jagged`.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from rayrank.data.behaviours import of_table, of_users
from rayrank.data.crosses import with_crosses
from rayrank.data.encode import encode, stored_type
from rayrank.data.ids import IdTypes, id_type
from rayrank.data.jagged import to_jagged
from rayrank.data.joined import KEY_OF, FeatureSource, Joined, JoinTable
from rayrank.data.packing import pack, row_costs
from rayrank.data.partition import Tables
from rayrank.data.prepare import (
    TOO_EARLY,
    as_logged,
    fail_where,
    keys_as_logged,
    ms,
    prepare_columns,
)
from rayrank.data.times import window_start
from rayrank.data.user_rows import Behaviours, Candidates, group, row_starts
from rayrank.errors import DataError
from rayrank.infer.bundle import Bundle
from rayrank.schema import CANDIDATES, PROFILE, Schema

Table: TypeAlias = pd.DataFrame | pa.Table
TableT = TypeVar("TableT", pd.DataFrame, pa.Table)
BATCH_TOKENS = 16_384


def score(
    bundle: Bundle,
    candidates: TableT,
    *,
    sequences: Mapping[str, Table] | None = None,
    users: Table | None = None,
    items: Table | None = None,
) -> TableT:
    """`candidates` with a column `p.TASK` for each task, float32, in the same order: P(task), or
    the number itself where the task is one.

    candidates: a line for each item to score, with the log's columns for user, item, time and the
    features of the candidate that exposures carry. sequences: what those users did before, a table
    for each of the schema's sequences (none of one that is left out), all lines of which belong to
    it, in any order, under the log's column names (and for positives of a task that follows from
    events, `known_at`); those known before a candidate's time count.
    users and items: the log's tables, where the schema takes features from them. Lines of one user
    and one day are one user row.

    Raises DataError for a column that is missing, or of another type than the log's.

    >>> bundle = load_bundle("runs/demo/bundles/current")  # doctest: +SKIP
    >>> score(  # doctest: +SKIP
    ...     bundle, candidates, sequences={"clicks": clicks}, users=users, items=items
    ... )
    """
    schema, arrow = bundle.schema, _arrow(candidates)
    joined = {n: _arrow(t) for n, t in (("users", users), ("items", items)) if t is not None}
    before = {name: _arrow(table) for name, table in (sequences or {}).items()}
    for name in before:
        if name not in schema.sequences:
            raise DataError(f"no sequence {name!r}; the schema has {', '.join(schema.sequences)}")
    id_types = bundle.manifest.id_types
    for token in (PROFILE.token, CANDIDATES.token):
        _check(schema, token, arrow, "candidates", joined, id_types)
    before = {name: table for name, table in before.items() if len(table)}
    for name, table in before.items():
        _check(schema, name, table, name, joined, id_types)
    rows, order = _user_rows(bundle, arrow, before, joined)
    p_CK = np.empty((len(arrow), len(schema.tasks)), np.float32)
    p_CK[order] = _score_rows(bundle, rows)
    columns = {f"p.{task}": p_CK[:, k] for k, task in enumerate(schema.tasks)}
    if isinstance(candidates, pd.DataFrame):
        return candidates.assign(**columns)
    for name, values in columns.items():
        arrow = arrow.append_column(name, pa.array(values))
    return arrow


def _user_rows(
    bundle: Bundle, candidates: pa.Table, before: Tables, joined: Tables
) -> tuple[pa.Table, np.ndarray]:
    """User rows of all candidates, and which candidate stands where in them."""
    schema = bundle.schema
    keys = {"user": schema.user, "item": schema.item}
    shown = _prepared(candidates, schema, [PROFILE.token, CANDIDATES.token], keys, [schema.time])
    shown |= keys_as_logged(candidates, schema)
    time_ms, key = (shown[name].to_numpy() for name in (f"ms.{schema.time}", "user_id"))
    order = np.lexsort((time_ms, key))
    prepared, time_ms = pa.table(shown).take(pa.array(order)), time_ms[order]
    unique, user = np.unique(key[order], return_inverse=True)
    tokens = [PROFILE.token, CANDIDATES.token, *before]
    tables = {
        name: JoinTable.of(_to_join(joined[name], schema, tokens, name), schema, name, name)
        for name in KEY_OF
        if name in joined
    }
    features = FeatureSource(schema, prepared, time_ms, tables, encode, "candidates")
    to_score = Candidates(
        user=user,
        window_start_ms=window_start(pa.array(time_ms), schema).to_numpy(),
        split=np.zeros(len(order), np.int64),
        time_ms=time_ms,
        item=as_logged(prepared, "item"),
        features=features.features(CANDIDATES.token),
    )
    starts = row_starts(to_score)
    first = prepared.take(pa.array(starts))
    users = FeatureSource(schema, first, time_ms[starts], tables, encode, "candidates")
    behaviours = {}
    for name, sequence in schema.sequences.items():
        if name in before:
            times = [schema.time_column(name), *known_at_columns(schema, name)]
            raw = before[name]
            rows = pa.table(_prepared(raw, schema, [name], _keys_of(schema, name), times))
            for at in times[1:]:
                early = ms(rows, at) < ms(rows, times[0])
                fail_where(early, raw, schema, at, TOO_EARLY, name)
            found = of_table(schema, name, rows, times[1:], tables, encode, name)
            behaviours[name] = of_users(found, unique, sequence.keep)
        else:
            behaviours[name] = _none(schema, name)
    profiles = users.features(PROFILE.token)
    parts = with_crosses(schema, to_score, behaviours, profiles)
    rows, _ = group(*parts, as_logged(first, "user"))
    return rows, order


def _prepared(
    rows: pa.Table, schema: Schema, tokens: list[str], keys: dict[str, str], times: list[str]
) -> dict[str, pa.Array]:
    """The prepared columns of the tokens' own features."""
    own = {n: f for token in tokens for n, f in schema.own_features_of(token).items()}
    where = tokens[0] if tokens[0] in schema.sequences else "candidates"
    return prepare_columns(rows, schema, keys, times, own, encode, where)


def _to_join(rows: pa.Table, schema: Schema, tokens: list[str], name: Joined) -> pa.Table:
    """Items or users, prepared as far as the tokens need them."""
    features = {
        n: f for token in tokens for n, f in schema.features_of(token).items() if f.source == name
    }
    key = KEY_OF[name]
    column = schema.item if name == "items" else schema.user
    times = [schema.as_of[name]] if name in schema.as_of else []
    return pa.table(prepare_columns(rows, schema, {key: column}, times, features, encode, name))


def _keys_of(schema: Schema, sequence: str) -> dict[str, str]:
    """The keys that a sequence's table needs."""
    keys = {"user": schema.user}
    if any(feature.source == "items" for feature in schema.features_of(sequence).values()):
        keys["item"] = schema.item
    return keys


def known_at_columns(schema: Schema, name: str) -> list[str]:
    """The columns that say when the rows of a sequence were known, in a table that was made for
    it. What follows from events has no such column in the log: there it is called `known_at`."""
    follows = schema.sequences[name].where in schema.attributed
    return [*schema.known_at_columns(name), *(["known_at"] if follows else [])]


def _none(schema: Schema, sequence: str) -> Behaviours:
    """No behaviours, of a table that need not know its columns' types."""
    none = np.empty(0, np.int64)
    stored = {n: stored_type(f) for n, f in schema.given_features_of(sequence).items()}
    keep = schema.sequences[sequence].keep
    return Behaviours(none, none, none, pa.schema(stored).empty_table(), keep)


@torch.inference_mode()
def _score_rows(bundle: Bundle, rows: pa.Table) -> np.ndarray:
    """float32 [candidates, tasks], in the order of the rows."""
    device = next(bundle.ranker.parameters()).device
    scored = [np.empty((0, len(bundle.schema.tasks)), np.float32)]
    for picked in pack(row_costs(rows, 0.0), BATCH_TOKENS):
        batch = to_jagged(rows.slice(picked[0], len(picked)), bundle.schema).to(device)
        scored.append(bundle.ranker.predictions(bundle.ranker(batch)).cpu().numpy())
    return np.concatenate(scored)


def _check(
    schema: Schema,
    token: str,
    table: pa.Table,
    name: str,
    joined: Tables,
    id_types: IdTypes,
) -> None:
    """Every column there, its ids of the log's type. Raises DataError."""
    needed = [(schema.user, table, name)]
    if token == CANDIDATES.token:
        needed += [(schema.time, table, name), (schema.item, table, name)]
    if token in schema.sequences:
        time = schema.time_column(token)
        needed += [(column, table, name) for column in (time, *known_at_columns(schema, token))]
        needed += [(key, table, name) for key in _keys_of(schema, token).values()]
    for feature_name, feature in schema.given_features_of(token).items():
        source, source_name = table, name
        if feature.source is not None:
            found = joined.get(feature.source)
            if found is None:
                raise DataError(
                    f"{feature.source}: not given, and feature {feature_name!r} is there"
                )
            key = schema.item if feature.source == "items" else schema.user
            needed.append((key, found, feature.source))
            if feature.source in schema.as_of:
                needed.append((schema.as_of[feature.source], found, feature.source))
            source, source_name = found, feature.source
        column = schema.column(feature_name)
        needed.append((column, source, source_name))
        if feature_name in id_types and column in source.column_names:
            kind = id_type(source.field(column).type)
            if kind != id_types[feature_name]:
                raise DataError(
                    f"{source_name}: column {column!r}: its ids are of type {kind}, those that "
                    f"the ranker learned {id_types[feature_name]}: they would never meet"
                )
    for column, source, source_name in needed:
        if column not in source.column_names:
            raise DataError(
                f"{source_name}: no column {column!r}; it has {', '.join(source.column_names)}"
            )


def _arrow(table: Any) -> Any:
    if isinstance(table, pd.DataFrame):
        return pa.Table.from_pandas(table, preserve_index=False)
    return table
