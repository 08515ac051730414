"""A request becomes the very row that the builder makes of the same log."""

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rayrank.data.ids import IdTypes
from rayrank.data.jagged import to_jagged
from rayrank.data.partition import build_rows
from rayrank.data.row_files import SPLITS
from rayrank.schema import CANDIDATES, PROFILE, static_of
from rayrank.serve.limits import Limits
from rayrank.serve.replay import TEST, replay
from rayrank.serve.request import RequestParser

from ..data.logs import DAY, START, TYPES, Records, logs, shop_schema, write
from ..data.test_crosses import CROSSES
from ..effort import examples

# The user's own id is a feature too.
SCHEMA = shop_schema(
    {
        "features.uid": {"tokens": ["profile"], "kind": "id", "column": "u", "table": "city"},
        "sequences.views.keep": 2,
        "sequences.searches.keep": 1,
        "features.look": {
            "tokens": ["views", "candidate"],
            "kind": "vector",
            "width": 2,
            "default": 0,
        },
        **CROSSES,
    }
)
Key = Callable[[int], Any]
KEYS: dict[str, tuple[pa.DataType, Key]] = {
    "integers": (pa.int64(), lambda i: i),
    "strings": (pa.string(), lambda i: f"käse-{i}"),
    "unsigned": (pa.uint64(), lambda i: (1 << 63) + 5 + i),
}


def keyed(records: Records, kind: str) -> dict[str, pa.Table]:
    """The log's tables, its users and items called otherwise."""
    arrow, key = KEYS[kind]
    tables = {}
    for name in TYPES:
        rows = [
            row | {k: key(row[k]) for k in ("u", "i") if k in row} for row in getattr(records, name)
        ]
        types = {n: arrow if n in ("u", "i") else t for n, t in TYPES[name].items()}
        tables[name] = pa.Table.from_pylist(rows, pa.schema(types))
    looks = [[row["ctr"], row["t"] % 7] for row in records.exposures]
    column = pa.array(looks, pa.list_(pa.float64()))
    tables["exposures"] = tables["exposures"].append_column("look", column)
    return tables


def comparable(rows: pa.Table) -> list[dict[str, Any]]:
    """Rows without labels, their keys as text."""
    found = rows.select([n for n in rows.column_names if not n.startswith("labels")]).to_pylist()
    for row in found:
        row["user"] = str(row["user"])
        row["candidates"]["item"] = [str(item) for item in row["candidates"]["item"]]
    return found


@pytest.mark.parametrize("kind", KEYS)
@settings(max_examples=examples(25), deadline=None)
@given(records=logs(), day=st.integers(0, 2))
def test_a_replayed_request_is_the_training_row(kind: str, records: Records, day: int) -> None:
    tables, cuts = keyed(records, kind), [START, START + day * DAY]
    built = build_rows(tables, SCHEMA, cuts)
    trained = built.rows.filter(pa.array(np.asarray(built.split) == TEST))
    id_types: IdTypes = {n: "integer" for n, f in SCHEMA.features.items() if f.kind != "number"}
    if kind == "strings":
        id_types |= {"i": "string", "uid": "string"}
    parser = RequestParser(SCHEMA, id_types, Limits())
    with TemporaryDirectory() as folder:
        log = write(Path(folder), tables)
        requests = replay(log, SCHEMA, tables["exposures"]["u"].unique(), cuts)
    assert len(requests) == len(trained)
    for number, request in enumerate(requests):
        parsed = parser.parse(json.dumps(request).encode())
        assert comparable(parsed.rows) == comparable(trained.slice(number, 1))
        assert parsed.users[0].order.tolist() == list(range(len(parsed.users[0].items)))
        assert parsed.rows["tokens"][0] == trained["tokens"][number]
        for column in ("window_start", *(group.name for group in SCHEMA.groups[:-1])):
            assert parsed.rows.schema.field(column).type == trained.schema.field(column).type
        # And so it is for a model: every byte but the labels, which lie last.
        ours = to_jagged(parsed.rows, SCHEMA).buffer
        theirs = to_jagged(trained.slice(number, 1), SCHEMA)
        labels = 4 * len(SCHEMA.tasks) * len(parsed.users[0].items)
        assert ours.tolist() == theirs.buffer[: len(theirs.buffer) - labels].tolist()


def test_test_rows_are_the_third_split() -> None:
    assert SPLITS[TEST] == "test"


def test_requests_of_many_users_are_one_table() -> None:
    """The server scores them together."""
    parser = RequestParser(SCHEMA, {}, Limits())
    full = {
        "user": 1,
        "time_ms": START,
        "profile": {"city": 3},
        "sequences": {
            "views": {"time_ms": [START - 5], "i": [1], "cat": [2], "watched": [1], "click": [1]}
        },
        "candidates": {"item": [7], "i": [7], "tags": [[1, 2]], "ctr": [0.5]},
    }
    bare = {
        "user": 2,
        "time_ms": START,
        "candidates": {"item": [1, "2"], "i": [1, 2], "tags": [None, []], "ctr": [0, 1]},
    }
    rows = [parser.parse(json.dumps(request).encode()).rows for request in (full, bare)]
    batch = to_jagged(pa.concat_tables(rows), SCHEMA)
    assert batch.users == 2
    assert batch.lengths(CANDIDATES).tolist() == [1, 2]
    assert batch.lengths(static_of("views")).tolist() == [1, 0]
    assert batch.ids(CANDIDATES, "tags").tolist() == [1, 2]
    assert batch.ids(PROFILE, "uid").tolist() == [1, 2]
    assert batch.ids(PROFILE, "city").tolist() == [3, -1]


def test_candidates_keep_the_order_they_were_sent_in() -> None:
    parser = RequestParser(SCHEMA, {}, Limits())
    times = [START + 30, START + 10, START + 20, START + 10]
    request = {
        "user": 1,
        "time_ms": START + 30,
        "candidates": {
            "item": [0, 1, 2, 3],
            "time_ms": times,
            "tags": [[]] * 4,
            "ctr": [0, 1, 2, 3],
        },
    }
    parsed = parser.parse(json.dumps(request).encode())
    assert parsed.users[0].items == [0, 1, 2, 3]
    assert parsed.users[0].order.tolist() == [1, 3, 2, 0]
    shown = parsed.rows["candidates"][0].as_py()
    assert shown["item"] == ["1", "3", "2", "0"]
    assert shown["i"] == [1, 3, 2, 0]
    assert shown["time"] == sorted(times)
