"""Scoring tables with a bundle: no server, no cluster.

The tables are those of the log, under its column names, as pandas or Arrow has them. From their
columns on the code is the training reader's: `FeatureSource`, `group`, `to_jagged`.
"""

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import torch

from rayrank.data.encode import encode, stored_type
from rayrank.data.ids import IdTypes, id_type, to_ids
from rayrank.data.jagged import to_jagged
from rayrank.data.packing import pack, row_costs
from rayrank.data.partition import FeatureSource, profiles
from rayrank.data.times import to_ms, window_start
from rayrank.data.user_rows import Behaviours, Candidates, group
from rayrank.errors import DataError
from rayrank.infer.bundle import Bundle
from rayrank.schema import Schema, Token

Table: TypeAlias = pd.DataFrame | pa.Table
TableT = TypeVar("TableT", pd.DataFrame, pa.Table)
BATCH_TOKENS = 16_384


def score(
    bundle: Bundle,
    candidates: TableT,
    *,
    behaviours: Table | None = None,
    users: Table | None = None,
    items: Table | None = None,
) -> TableT:
    """`candidates` with a column `p.TASK` for each task: P(task), float32, in the same order.

    candidates: a line for each item to score, with the log's columns for user, item, time and the
    features of the candidate that exposures carry. behaviours: what those users did before, in
    any order, with user, time, the features of behaviours, and (where the schema has one) when
    that was known; those known before a candidate's time count. users and items: the log's tables,
    where the schema takes features from them. Lines of one user and one day are one sequence.

    Raises DataError for a column that is missing, or of another type than the log's.

    >>> bundle = load_bundle("runs/demo/bundles/current")  # doctest: +SKIP
    >>> score(bundle, candidates, behaviours=clicks, users=users, items=items)  # doctest: +SKIP
    """
    schema, arrow = bundle.schema, _arrow(candidates)
    before, tables = _arrow(behaviours), {"users": _arrow(users), "items": _arrow(items)}
    id_types = bundle.manifest.id_types
    _check(schema, "profile", arrow, "candidates", tables, id_types)
    _check(schema, "candidate", arrow, "candidates", tables, id_types)
    if before is not None and len(before):
        _check(schema, "behaviour", before, "behaviours", tables, id_types)
    rows, order = _user_rows(bundle, arrow, before, tables)
    p_CK = np.empty((len(arrow), len(schema.tasks)), np.float32)
    p_CK[order] = _score_rows(bundle, rows)
    columns = {f"p.{task}": p_CK[:, k] for k, task in enumerate(schema.tasks)}
    if isinstance(candidates, pd.DataFrame):
        return candidates.assign(**columns)
    for name, values in columns.items():
        arrow = arrow.append_column(name, pa.array(values))
    return arrow


def _user_rows(
    bundle: Bundle,
    candidates: pa.Table,
    behaviours: pa.Table | None,
    tables: dict[str, pa.Table | None],
) -> tuple[pa.Table, np.ndarray]:
    """User rows of all candidates, and which candidate stands where in them."""
    schema = bundle.schema
    keys = _ids(candidates, schema.user)
    time_ms = _times(candidates, schema.time, schema)
    order = np.lexsort((time_ms, keys))
    first, user = np.unique(keys[order], return_index=True, return_inverse=True)[1:]
    shown = candidates.take(pa.array(order))
    user_keys = shown[schema.user].combine_chunks().take(pa.array(first))

    def features(token: Token, table: pa.Table, name: str) -> pa.Table:
        return FeatureSource(schema, table, tables["items"], {}, encode, name).features(token)

    rows, _ = group(
        Candidates(
            user=user,
            window_start_ms=window_start(pa.array(time_ms[order]), schema).to_numpy(),
            split=np.zeros(len(order), np.int64),
            time_ms=time_ms[order],
            item=shown[schema.item].combine_chunks(),
            features=features("candidate", shown, "candidates"),
            labels=None,
        ),
        _behaviours(schema, behaviours, keys[order][first], features),
        profiles(schema, tables["users"], user_keys, encode),
        user_keys,
        bundle.manifest.max_history,
    )
    return rows, order


def _behaviours(
    schema: Schema,
    behaviours: pa.Table | None,
    keys: np.ndarray,
    features: Callable[[Token, pa.Table, str], pa.Table],
) -> Behaviours:
    """What the users of the keys did; the others' behaviours are nobody's history."""
    if behaviours is None or len(behaviours) == 0:  # which need not know its columns' types
        none = np.empty(0, np.int64)
        stored = {n: stored_type(f) for n, f in schema.features_of("behaviour").items()}
        return Behaviours(none, none, none, pa.schema(stored).empty_table())
    of = pc.index_in(pa.array(_ids(behaviours, schema.user)), value_set=pa.array(keys))
    behaviours, of = behaviours.filter(of.is_valid()), of.drop_null()
    time_ms = _times(behaviours, schema.time, schema)
    known_at_ms = (
        time_ms if schema.known_at is None else _times(behaviours, schema.known_at, schema)
    )
    return Behaviours(
        of.cast(pa.int64()).to_numpy(),
        time_ms,
        known_at_ms,
        features("behaviour", behaviours, "behaviours"),
    )


@torch.inference_mode()
def _score_rows(bundle: Bundle, rows: pa.Table) -> np.ndarray:
    """float32 [candidates, tasks], in the order of the rows."""
    device = next(bundle.ranker.parameters()).device
    scored = [np.empty((0, len(bundle.schema.tasks)), np.float32)]
    for picked in pack(row_costs(rows, 0.0), BATCH_TOKENS):
        batch = to_jagged(rows.slice(picked[0], len(picked)), bundle.schema).to(device)
        scored.append(bundle.ranker.probabilities(bundle.ranker(batch)).cpu().numpy())
    return np.concatenate(scored)


def _check(
    schema: Schema,
    token: Token,
    table: pa.Table,
    name: str,
    joined: dict[str, pa.Table | None],
    id_types: IdTypes,
) -> None:
    """Every column there, its ids of the log's type. Raises DataError."""
    needed = [(schema.user, table, name)]
    if token != "profile":
        needed.append((schema.time, table, name))
    if token == "candidate":
        needed.append((schema.item, table, name))
    if token == "behaviour" and schema.known_at is not None:
        needed.append((schema.known_at, table, name))
    for feature_name, feature in schema.features_of(token).items():
        source, source_name = table, name
        if feature.source != "exposures":
            found = joined[feature.source]
            if found is None:
                raise DataError(
                    f"{feature.source}: not given, and feature {feature_name!r} is there"
                )
            key = schema.item if feature.source == "items" else schema.user
            needed.append((key, found, feature.source))
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


def _ids(table: pa.Table, column: str) -> np.ndarray:
    return to_ids(table[column].combine_chunks(), column).to_numpy()


def _times(table: pa.Table, column: str, schema: Schema) -> np.ndarray:
    return to_ms(table[column].combine_chunks(), schema.time_unit, column).to_numpy()
