"""Logged user rows as requests: the same users, behaviours and candidates, as a client would send
them. For checking that the endpoint scores what the trainer scored."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rayrank.data.log import Log, tables_needed
from rayrank.data.partition import build_rows
from rayrank.data.row_files import SPLITS
from rayrank.schema import CANDIDATES, PROFILE, Feature, Schema, realtime_of, static_of

Request = dict[str, Any]
TEST = SPLITS.index("test")


def replay(
    log: Log,
    schema: Schema,
    users: pa.Array,
    split_times_ms: list[int],
    asked: Schema | None = None,
) -> list[Request]:
    """A request for every test row of some users (keys as the log has them). asked: what of the
    log's schema a request has, all unless said; a bundle may ask for less.

    The builder runs once more on those users' exposures, leaving every value raw; its cuts are
    the builder's, so the rows are too. Each candidate keeps its own time.
    """
    tables = {table: log.read(table, columns) for table, columns in tables_needed(schema).items()}
    for table in tables.keys() - {"items"}:
        of_users = pc.is_in(tables[table][schema.user], value_set=users)
        tables[table] = tables[table].filter(of_users)
    built = build_rows(tables, schema, split_times_ms, column=_raw)
    rows = built.rows.filter(pa.array(np.asarray(built.split) == TEST))
    return [_request(asked or schema, row) for row in rows.to_pylist()]


def _raw(values: pa.Array, feature: Feature, where: str) -> pa.Array:
    # JSON has booleans of its own, which no request may send for an id or a number.
    return values.cast(pa.int8()) if pa.types.is_boolean(values.type) else values


def _request(schema: Schema, row: dict[str, Any]) -> Request:
    shown = row[CANDIDATES.name]
    told = row.get(PROFILE.name, {})
    given = schema.given_features_of(PROFILE.token)
    profile = {name: told[name] for name in given if not schema.is_user(name)}
    candidates = {name: shown[name] for name in schema.given_features_of(CANDIDATES.token)}
    return {
        "user": row["user"],
        "time_ms": shown["time"][-1],
        "profile": profile,
        "sequences": {
            name: _behaviours(
                schema, name, *(row[of(name).name] for of in (static_of, realtime_of))
            )
            for name in schema.sequences
        },
        "candidates": {"item": shown["item"], "time_ms": shown["time"], **candidates},
    }


def _behaviours(
    schema: Schema, sequence: str, static: dict[str, Any], realtime: dict[str, Any]
) -> dict[str, Any]:
    named = {"time_ms": "time", "known_at_ms": "known_at"}
    named |= {name: name for name in schema.given_features_of(sequence)}
    return {field: static[column] + realtime[column] for field, column in named.items()}
