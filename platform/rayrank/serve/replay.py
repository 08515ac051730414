"""Logged user rows as requests: the same users, behaviours and candidates, as a client would send
them. For checking that the endpoint scores what the trainer scored."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rayrank.data.build import SPLITS
from rayrank.data.log import Log, tables_needed
from rayrank.data.partition import Tables, build_rows
from rayrank.schema import Feature, Schema

Request = dict[str, Any]
TEST = SPLITS.index("test")


def replay(
    log: Log, schema: Schema, users: pa.Array, split_times_ms: list[int], max_history: int
) -> list[Request]:
    """A request for every test row of some users (keys as the log has them).

    The builder runs once more on those users' exposures, leaving every value raw; its cuts are
    the builder's, so the rows are too. Each candidate keeps its own time.
    """
    needed = tables_needed(schema)

    def of_users(table: str) -> pa.Table | None:
        if table not in needed:
            return None
        part = log.read(table, needed[table])
        return part.filter(pc.is_in(part[schema.user], value_set=users))

    exposures = of_users("exposures")
    assert exposures is not None
    items = log.read("items", needed["items"]) if "items" in needed else None
    built = build_rows(
        Tables(exposures, of_users("events"), of_users("users"), items),
        schema,
        split_times_ms,
        max_history,
        column=_raw,
    )
    rows = built.rows.filter(pa.array(np.asarray(built.split) == TEST))
    return [_request(schema, row) for row in rows.to_pylist()]


def _raw(values: pa.Array, feature: Feature, where: str) -> pa.Array:
    # JSON has booleans of its own, which no request may send for an id or a number.
    return values.cast(pa.int8()) if pa.types.is_boolean(values.type) else values


def _request(schema: Schema, row: dict[str, Any]) -> Request:
    history, realtime, shown = row["history"], row["realtime"], row["candidates"]
    behaviours = {name: history[name] + realtime[name] for name in history}
    profile = {
        name: value
        for name, value in row.get("profile", {}).items()
        if schema.features[name].source == "users"
    }
    candidates = {name: shown[name] for name in schema.features_of("candidate")}
    return {
        "user": row["user"],
        "time_ms": shown["time"][-1],
        "profile": profile,
        "behaviours": {
            "time_ms": behaviours.pop("time"),
            "known_at_ms": behaviours.pop("known_at"),
            **behaviours,
        },
        "candidates": {"item": shown["item"], "time_ms": shown["time"], **candidates},
    }
