"""A shard as it was: whatever training does between its parts, they show the moment that was
asked for."""

import threading
from collections.abc import Iterator
from typing import NamedTuple

import pytest
import torch
from hypothesis import event, given, settings
from hypothesis import strategies as st
from rayrank.embedding import snapshot
from rayrank.embedding.budget import Rules, Width
from rayrank.embedding.owned_ids import OwnedIds
from rayrank.embedding.shard import Shard
from rayrank.embedding.snapshot import Snapshot
from rayrank.embedding.tables import ShardRows

from ..effort import examples

TABLES, DIM, ROWS = ("item", "tag"), 2, 40
Rows = dict[str, ShardRows]


class Act(NamedTuple):
    """What training does to some of the rows that are there."""

    what: str
    rows: frozenset[int]


WAYS = st.sampled_from(["learn", "see", "meet", "drop", "keep"])
ACTS = st.lists(st.builds(Act, WAYS, st.frozensets(st.integers(0, ROWS))), max_size=4)
TIMES = st.lists(ACTS, max_size=12)
"""Acts before the first part, before the second, …"""


class Training:
    """A shard, and what happens to it; every number that it comes by is a new one."""

    def __init__(self, rows: int = ROWS) -> None:
        rules = dict.fromkeys(TABLES, Rules(rows, 1, None, 0))
        owned = OwnedIds(Width(DIM, TABLES, rows), rules, (0, rows + 1), 1, rows)
        self.shard = Shard(
            Width(DIM, TABLES, rows),
            owned,
            torch.zeros(rows + 1, DIM),
            torch.zeros(rows + 1),
        )
        self.pool = self.shard.pool
        self._step, self._met, self._told = 0, 0, 0

    def act(self, act: Act) -> None:
        """Of row 0, which is no id's, and rows beyond the last one, nothing is told but where a
        step may ask for them too."""
        self._step += 1
        there = torch.tensor(sorted(row for row in act.rows if 0 < row <= self.count()))
        match act.what:
            case "learn":
                self._learn(torch.cat([torch.zeros(1), there]).long())
            case "see":
                self._see(there.long())
            case "meet":
                self.meet(min(len(act.rows), self.pool.rows - self.count()))
            case "drop":
                self.shard.drop(there.long(), self._step)
            case "keep":  # told of, but not changed after all
                self.shard.before_change(there.long())

    def count(self) -> int:
        return int(self.pool.count)

    def meet(self, ids: int) -> None:
        """So many new ones, of each table in turn, of which something is learned at once."""
        self._step += 1
        for _ in range(ids):
            self._met += 1
            name = TABLES[self._met % 3 // 2]
            self._learn(self.pool.seen_in(self._step, name, torch.tensor([self._met])))

    def _see(self, rows: torch.Tensor) -> None:
        for name in TABLES:
            keys = self.pool.keys[rows[self.pool.of_table(name, rows)]]
            self.pool.seen_in(self._step, name, keys)

    def _learn(self, rows: torch.Tensor) -> None:
        self.shard.before_change(rows)
        told = self._told + torch.arange(1.0, 1 + len(rows))
        self._told += len(rows)
        self.shard.weights[rows] = torch.stack([told, -told], dim=1)
        self.shard.momentum[rows] = told + 0.5

    def state(self) -> Rows:
        """How all rows are now, in their order; of a table without any, nothing."""
        rows = torch.arange(1, self.count() + 1)
        found = {}
        for name in TABLES:
            mine = rows[self.pool.of_table(name, rows)]
            if len(mine):
                found[name] = ShardRows(
                    self.pool.keys[mine],
                    self.shard.weights[mine],
                    self.shard.momentum[mine],
                    self.pool.last[mine],
                    self.pool.sightings[mine],
                    mine.int(),
                )
        return found


def whole(parts: Iterator[Rows]) -> Rows:
    """All parts end to end."""
    held: dict[str, list[ShardRows]] = {}
    for part in parts:
        for name, rows in part.items():
            held.setdefault(name, []).append(rows)
    return {name: ShardRows.joined(of) for name, of in held.items()}


def assert_same(found: Rows, expected: Rows) -> None:
    assert found.keys() == expected.keys()
    for name, rows in expected.items():
        for field, value in vars(rows).items():
            assert getattr(found[name], field).dtype == value.dtype
            assert torch.equal(getattr(found[name], field), value), (name, field)


@pytest.fixture(autouse=True, scope="module")
def small_parts() -> Iterator[None]:
    """Of five rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshot, "PART_BYTES", 5 * 4 * DIM + 7)
        yield


@settings(max_examples=examples(200), deadline=None)
@given(ids=st.integers(0, ROWS), before=ACTS, between=TIMES)
def test_parts_show_the_moment_they_were_asked_for(
    ids: int, before: list[Act], between: list[list[Act]]
) -> None:
    training = Training()
    training.meet(ids)
    for act in before:
        training.act(act)
    expected, taken = training.state(), training.shard.snapshot()
    count, parts, read = training.count(), taken.parts(), list[Rows]()
    for acts in between:
        for act in acts:
            training.act(act)
        read += [part for part in [next(parts, None)] if part is not None]
    read += parts
    assert_same(whole(iter(read)), expected)
    in_order = [sorted(torch.cat([of.row for of in part.values()]).tolist()) for part in read]
    assert in_order == [[*range(n, min(n + 5, count + 1))] for n in range(1, count + 1, 5)]
    # The next one shows what became of it.
    assert_same(whole(training.shard.snapshot().parts()), training.state())
    event(f"changed: {any(acts for acts in between)}, parts: {min(len(read), 3)}")


def test_what_goes_under_a_reader_is_read_as_it_was() -> None:
    """Rows whose ids go are taken by the last ones, and those by new ids, twice over."""
    training = Training()
    training.meet(20)
    expected, parts = training.state(), training.shard.snapshot().parts()
    read = [next(parts)]
    for _ in range(2):
        training.act(Act("drop", frozenset(range(4, 16))))
        training.meet(12)
        training.act(Act("learn", frozenset(range(1, 21))))
    read += parts
    assert_same(whole(iter(read)), expected)
    now = training.state()
    keys = [torch.cat([of.keys for of in rows.values()]).tolist() for rows in (expected, now)]
    assert len(set(keys[0]) & set(keys[1])) < 8


def test_what_was_read_is_its_own() -> None:
    training = Training()
    training.meet(5)
    expected = training.state()
    (part,) = training.shard.snapshot().parts()
    training.act(Act("learn", frozenset(range(1, 6))))
    training.act(Act("see", frozenset(range(1, 6))))
    assert_same(part, expected)


def test_a_row_is_kept_once_and_not_after_it_was_read() -> None:
    """What is kept aside is at most what is still to be read."""
    training = Training()
    training.meet(20)
    taken = training.shard.snapshot()
    parts = taken.parts()
    for read in range(4):
        for _ in range(3):
            training.act(Act("learn", frozenset(range(1, ROWS))))
        assert sum(len(of.rows) for of in taken._aside) == 20 - 5 * read
        next(parts)
    assert next(parts, None) is None
    kept = len(taken._aside)
    training.act(Act("learn", frozenset(range(1, ROWS))))
    assert len(taken._aside) == kept
    assert sum(len(of.rows) for of in taken._aside) == 0


def test_who_reads_no_more_is_told_no_more() -> None:
    training = Training()
    training.meet(20)
    taken = training.shard.snapshot()
    training.shard.forget_snapshot()
    training.act(Act("learn", frozenset(range(1, 21))))
    assert taken._aside == []


def test_parts_are_read_in_another_thread() -> None:
    """While every row changes all the time, and comes and goes."""
    for _ in range(5):
        training = Training(rows=200)
        training.meet(150)
        expected, taken = training.state(), training.shard.snapshot()
        read, started = list[Rows](), threading.Event()

        def reading(taken: Snapshot, read: list[Rows], started: threading.Event) -> None:
            for part in taken.parts():
                read.append(part)
                started.set()

        reader = threading.Thread(target=reading, args=(taken, read, started))
        reader.start()
        started.wait()
        while reader.is_alive():
            training.act(Act("learn", frozenset(range(1, 150, 2))))
            training.act(Act("drop", frozenset(range(50, 52))))
        reader.join()
        assert_same(whole(iter(read)), expected)
