"""JaggedBatch: every view says what the rows say, and all of it is one buffer."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rayrank.data.jagged import JaggedBatch, to_jagged
from rayrank.data.partition import build_rows
from rayrank.schema import CANDIDATES, PROFILE, Group, Schema, realtime_of

from ..effort import examples
from .logs import DAY, START, Record, Records, logs, searched, shop_schema, shown

# A list in the profile and in behaviours too, and tables shared by several features.
SCHEMA = shop_schema(
    {
        "features.tags": {
            "tokens": ["views", "buys", "candidate"],
            "kind": "ids",
            "source": "items",
            "table": "tag",
        },
        "features.tag_of_city": {
            "tokens": ["profile"],
            "kind": "id",
            "source": "users",
            "table": "tag",
            "column": "city",
            "default": 3,
        },
        "features.weight": {
            "tokens": ["profile"],
            "kind": "number",
            "source": "users",
            "column": "age",
            "default": 1,
        },
        "features.more": {
            "tokens": ["candidate"],
            "kind": "id",
            "source": "items",
            "table": "item",
            "column": "cat",
            "default": 1,
        },
    }
)


def rows_of(log: Records) -> pa.Table:
    return build_rows(log.tables(), SCHEMA, [START + 2 * DAY] * 2).rows


def elements(row: Record, group: str, feature: str) -> list[Any]:
    return [row[group][feature]] if group == PROFILE.name else row[group][feature]


def time_of(group: Group) -> str:
    return "known_at" if group.part == "realtime" else "time"


def flat(rows: list[Record], group: str, feature: str) -> list[Any]:
    return [value for row in rows for value in elements(row, group, feature)]


def users_of(batch: JaggedBatch) -> Callable[[Group], torch.Tensor]:
    return lambda group: torch.repeat_interleave(batch.lengths(group))


def check(batch: JaggedBatch, rows: list[Record], schema: Schema) -> None:
    assert batch.users == len(rows)
    assert batch.tokens == sum(row["tokens"] for row in rows)
    assert batch.window_start.tolist() == [row["window_start"] for row in rows]
    assert batch.candidates == len(flat(rows, "candidates", "time"))
    for group in schema.groups:
        if group != PROFILE:
            assert batch.lengths(group).tolist() == [len(row[group.name]["time"]) for row in rows]
            assert batch.times(group).tolist() == flat(rows, group.name, time_of(group))
        for name, feature in schema.features_of(group.token).items():
            values = flat(rows, group.name, name)
            if feature.kind == "number":
                assert batch.numbers(group, name).dtype == torch.float32
                assert batch.numbers(group, name).tolist() == values
            elif feature.kind == "ids":
                assert batch.list_lengths(group, name).tolist() == [len(v) for v in values]
                assert batch.ids(group, name).tolist() == [i for v in values for i in v]
            else:
                assert batch.ids(group, name).dtype == torch.int64
                assert batch.ids(group, name).tolist() == values
    merged = [
        (number, known, place)
        for number, row in enumerate(rows)
        for place, group in enumerate(schema.realtime)
        for known in row[group.name]["known_at"]
    ]
    users, times = (
        torch.cat([of(group) for group in schema.realtime]) for of in (users_of(batch), batch.times)
    )
    assert list(
        zip(users[batch.realtime_order].tolist(), times[batch.realtime_order].tolist(), strict=True)
    ) == [(number, known) for number, known, _ in sorted(merged)]
    if rows and "labels" not in rows[0]:
        return
    for task in schema.tasks:
        labels = [None if math.isnan(y) else y for y in batch.labels(task).tolist()]
        assert labels == flat(rows, "labels", task)


@settings(deadline=None, max_examples=examples(60))
@given(logs(), st.data())
def test_views_equal_the_rows(log: Records, data: st.DataObject) -> None:
    rows = rows_of(log)
    start = data.draw(st.integers(0, len(rows)))
    length = data.draw(st.integers(0, len(rows) - start))
    for table in (rows, rows.slice(start, length), pa.concat_tables([rows, rows.slice(start)])):
        check(to_jagged(table, SCHEMA), table.to_pylist(), SCHEMA)


def test_what_was_known_at_one_moment_stands_in_the_order_of_the_sequences() -> None:
    """A view and its click, known together, and before them a search."""
    log = Records(
        exposures=[shown(1, 1, START + 1000, click=1), shown(1, 2, START + 2000)],
        searches=[searched(1, 5, START)],
    )
    batch = to_jagged(rows_of(log), SCHEMA)
    counts = [batch.counts[realtime_of(name)] for name in SCHEMA.sequences]
    assert counts == [1, 1, 0, 0, 1]
    assert batch.realtime_order.tolist() == [2, 0, 1]


def test_one_buffer_holds_everything() -> None:
    log = Records(exposures=[shown(1, 1, START + hour * 1000) for hour in range(3)])
    batch = to_jagged(rows_of(log), SCHEMA)
    views = [
        batch.window_start,
        batch.ids(CANDIDATES, "tags"),
        batch.labels("click"),
        batch.numbers(CANDIDATES, "price"),
        batch.realtime_order,
    ]
    storage = batch.buffer.untyped_storage().data_ptr()
    assert batch.buffer.is_contiguous()
    assert all(view.untyped_storage().data_ptr() == storage for view in views)
    # Nothing padded: every byte belongs to exactly one view.
    sizes = 8 * (len(batch.window_start) + len(batch.realtime_order))
    for group in SCHEMA.groups:
        if group != PROFILE:
            sizes += 8 * (len(batch.lengths(group)) + len(batch.times(group)))
        for name, feature in SCHEMA.features_of(group.token).items():
            if feature.kind == "number":
                sizes += 4 * len(batch.numbers(group, name))
            else:
                sizes += 8 * len(batch.ids(group, name))
            if feature.kind == "ids":
                sizes += 8 * len(batch.list_lengths(group, name))
    sizes += sum(4 * len(batch.labels(task)) for task in SCHEMA.tasks)
    assert batch.buffer.nbytes == sizes


def test_empty() -> None:
    rows = rows_of(Records(exposures=[shown()])).slice(0, 0)
    batch = to_jagged(rows, SCHEMA)
    check(batch, [], SCHEMA)
    assert (batch.users, batch.candidates, batch.tokens, batch.buffer.nbytes) == (0, 0, 0, 0)


def test_labels_may_be_absent() -> None:
    rows = rows_of(Records(exposures=[shown(), shown(2)])).drop_columns(["labels"])
    batch = to_jagged(rows, SCHEMA)
    check(batch, rows.to_pylist(), SCHEMA)
    with pytest.raises(KeyError):
        batch.labels("click")


def test_a_moved_batch_says_the_same() -> None:
    rows = rows_of(Records(exposures=[shown(1, 1, START, click=1), shown(2)]))
    batch = to_jagged(rows, SCHEMA)
    moved = batch.to("cpu")
    check(moved, rows.to_pylist(), SCHEMA)
    assert moved.device == batch.device == torch.device("cpu")
    # Changing the rows' memory afterwards must not reach the batch: it is a copy.
    assert not np.shares_memory(
        batch.times(CANDIDATES).numpy(),
        rows["candidates"].combine_chunks().field("time").values.to_numpy(),
    )
