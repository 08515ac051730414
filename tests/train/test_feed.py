"""The feed makes the same batches in the same order, ahead, and ends with whoever uses it."""

import threading
from collections.abc import Iterator

import pyarrow as pa
import pytest
import torch
from rayrank.data.jagged import to_jagged
from rayrank.train.feed import AHEAD, Fed, feed, with_next

from ..clusters import wait_until
from ..infer.bundles import USERS
from ..model.rows import SCHEMA, table

CPU = torch.device("cpu")
TABLES = [table(USERS[:count]) for count in (1, 3, 2, 1, 3)]


def feeds() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("feed")]


def test_the_batches_are_those_of_the_rows_in_their_order() -> None:
    with feed(iter([each] for each in TABLES), SCHEMA, CPU) as batches:
        found = list(batches)
    assert [fed.rows for fed in found] == [[each] for each in TABLES]
    for fed, rows in zip(found, TABLES, strict=True):
        assert torch.equal(fed.batches[0].buffer, to_jagged(rows, SCHEMA).buffer)
        assert fed.waited_s >= 0
    assert not feeds()


def test_it_is_ahead_and_no_further() -> None:
    read: list[int] = []

    def rows() -> Iterator[list[pa.Table]]:
        for number, each in enumerate(TABLES):
            read.append(number)
            yield [each]

    with feed(rows(), SCHEMA, CPU) as batches:
        for trained in range(2):
            next(batches)
            expected = list(range(trained + 1 + AHEAD))
            wait_until("the next ones are made", lambda e=expected: read == e, seconds=30)  # type: ignore[misc]
    assert read == [0, 1, 2, 3], "who leaves reads no more"
    assert not feeds()


def test_each_step_knows_the_one_after_it() -> None:
    """And tells for how long there was nothing to do before it could begin."""
    fed = [
        Fed([each], [], waited_s) for each, waited_s in zip(TABLES, (8, 4, 2, 1, 16), strict=True)
    ]
    found = list(with_next(iter(fed)))
    assert [step.rows for step, _ in found] == [[each] for each in TABLES]
    assert [ahead for _, ahead in found] == [*fed[1:], None]
    assert [step.waited_s for step, _ in found] == [8 + 4, 2, 1, 16, 0]
    assert list(with_next(iter(()))) == []


def test_what_fails_fails_where_the_batch_is_asked_for() -> None:
    def rows() -> Iterator[list[pa.Table]]:
        yield [TABLES[0]]
        raise OSError("the disk is gone")

    with feed(rows(), SCHEMA, CPU) as batches:
        assert next(batches).rows == [TABLES[0]]
        with pytest.raises(OSError, match="the disk is gone"):
            next(batches)
    assert not feeds()
