"""JaggedBatch: every view says what the rows say, and all of it is one buffer."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rayrank.data.jagged import GROUPS, TIME_COLUMN, TOKEN_OF, JaggedBatch, to_jagged
from rayrank.data.partition import build_rows
from rayrank.schema import Schema

from .logs import DAY, START, Record, Records, logs, shop_schema, shown

# A list in the profile and in behaviours too, and tables shared by several features.
SCHEMA = shop_schema(
    {
        "features.tags": {
            "tokens": ["behaviour", "candidate"],
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
    return build_rows(log.tables(), SCHEMA, [START + 2 * DAY] * 2, 5).rows


def elements(row: Record, group: str, feature: str) -> list[Any]:
    return [row[group][feature]] if group == "profile" else row[group][feature]


def flat(rows: list[Record], group: str, feature: str) -> list[Any]:
    return [value for row in rows for value in elements(row, group, feature)]


def check(batch: JaggedBatch, rows: list[Record], schema: Schema) -> None:
    assert batch.users == len(rows)
    assert batch.tokens == sum(row["tokens"] for row in rows)
    assert batch.window_start.tolist() == [row["window_start"] for row in rows]
    assert batch.candidates == len(flat(rows, "candidates", "time"))
    for group in GROUPS:
        if group != "profile":
            assert batch.lengths(group).tolist() == [len(row[group]["time"]) for row in rows]
            assert batch.times(group).tolist() == flat(rows, group, TIME_COLUMN[group])
        for name, feature in schema.features_of(TOKEN_OF[group]).items():
            values = flat(rows, group, name)
            if feature.kind == "number":
                assert batch.numbers(group, name).dtype == torch.float32
                assert batch.numbers(group, name).tolist() == values
            elif feature.kind == "ids":
                assert batch.list_lengths(group, name).tolist() == [len(v) for v in values]
                assert batch.ids(group, name).tolist() == [i for v in values for i in v]
            else:
                assert batch.ids(group, name).dtype == torch.int64
                assert batch.ids(group, name).tolist() == values
    if rows and "labels" not in rows[0]:
        return
    for task in schema.tasks:
        assert batch.labels(task).tolist() == flat(rows, "labels", task)


@settings(deadline=None, max_examples=60)
@given(logs(), st.data())
def test_views_equal_the_rows(log: Records, data: st.DataObject) -> None:
    rows = rows_of(log)
    start = data.draw(st.integers(0, len(rows)))
    length = data.draw(st.integers(0, len(rows) - start))
    for table in (rows, rows.slice(start, length), pa.concat_tables([rows, rows.slice(start)])):
        check(to_jagged(table, SCHEMA), table.to_pylist(), SCHEMA)


@settings(deadline=None, max_examples=40)
@given(logs())
def test_ids_of_a_table_lie_side_by_side(log: Records) -> None:
    batch = to_jagged(rows_of(log), SCHEMA)
    for table in SCHEMA.tables:
        ids = batch.table_ids(table)
        vectors_ND = torch.stack([ids, -ids], 1)
        parts = [
            (group, name)
            for group in GROUPS
            for name, feature in SCHEMA.features_of(TOKEN_OF[group]).items()
            if feature.table == table
        ]
        assert len(ids) == sum(len(batch.ids(group, name)) for group, name in parts)
        for group, name in parts:
            part = batch.of_table(vectors_ND, table, group, name)
            assert part[:, 0].tolist() == batch.ids(group, name).tolist()


def test_one_buffer_holds_everything() -> None:
    log = Records(exposures=[shown(1, 1, START + hour * 1000) for hour in range(3)])
    batch = to_jagged(rows_of(log), SCHEMA)
    views = [
        batch.window_start,
        batch.ids("candidates", "tags"),
        batch.labels("click"),
        batch.numbers("candidates", "price"),
        batch.table_ids("tag"),
    ]
    storage = batch.buffer.untyped_storage().data_ptr()
    assert batch.buffer.is_contiguous()
    assert all(view.untyped_storage().data_ptr() == storage for view in views)
    # Nothing padded: every byte belongs to exactly one view.
    sizes = 8 * len(batch.window_start)
    for group in GROUPS:
        if group != "profile":
            sizes += 8 * (len(batch.lengths(group)) + len(batch.times(group)))
        for name, feature in SCHEMA.features_of(TOKEN_OF[group]).items():
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
        batch.times("candidates").numpy(),
        rows["candidates"].combine_chunks().field("time").values.to_numpy(),
    )
