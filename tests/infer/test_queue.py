"""What waits while the engine is busy: taken together, in order, within bounds, or not at all."""

import math
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest
from rayrank.errors import DeadlineError
from rayrank.infer.bundle import load_bundle
from rayrank.infer.engine import Engine
from rayrank.infer.scorer import Scored

from ..model.rows import User, table
from .bundles import USERS, trained, write


def tokens(user: User) -> int:
    return int(table([user])["tokens"][0].as_py())


class Busy:
    """An engine that is held in its first batch, and tells what it scored together."""

    def __init__(self, folder: Path, batch_tokens: int = 1000) -> None:
        bundle = load_bundle(folder / write(folder, trained("dlrm"), "dlrm").version)
        self.engine = Engine(bundle, batch_tokens=batch_tokens)
        self.batches: list[list[int]] = []
        self.held, self.go = threading.Event(), threading.Event()
        whole = self.engine.scorer.score

        def score(rows: pa.Table) -> Scored:
            self.held.set()
            assert self.go.wait(30)
            self.batches.append(rows["tokens"].to_pylist())
            return whole(rows)

        self.engine.scorer.score = score  # type: ignore[method-assign]

    def submit(self, user: User, deadline: float = math.inf) -> "Future[Scored]":
        return self.engine.submit(table([user]), deadline)


@contextmanager
def busy(folder: Path, batch_tokens: int = 1000) -> Iterator[Busy]:
    engine = Busy(folder, batch_tokens)
    first = engine.submit(USERS[0])
    assert engine.held.wait(30)
    try:
        yield engine
    finally:
        engine.go.set()
        engine.engine.close()
    assert first.result().scores[0].shape == (3, 2)


SMALL, LARGE = USERS[1], USERS[0]


def test_all_that_waits_is_taken_together(tmp_path: Path) -> None:
    with busy(tmp_path) as engine:
        asked = [engine.submit(SMALL) for _ in range(7)]
    assert engine.batches == [[tokens(LARGE)], [tokens(SMALL)] * 7]
    assert all(future.result().scores[0].shape == (1, 2) for future in asked)
    waits = [future.result().ms.wait for future in asked]
    assert waits == sorted(waits, reverse=True), "who came first waited longest"


def test_as_far_as_the_budget_goes(tmp_path: Path) -> None:
    with busy(tmp_path, batch_tokens=2 * tokens(SMALL) + 1) as engine:
        for user in (SMALL, SMALL, SMALL, LARGE, SMALL):
            engine.submit(user)
    small, large = tokens(SMALL), tokens(LARGE)
    assert large > small + 1
    assert engine.batches[1:] == [[small, small], [small], [large], [small]]


def test_one_that_is_larger_than_the_budget_is_scored_alone(tmp_path: Path) -> None:
    with busy(tmp_path, batch_tokens=1) as engine:
        asked = [engine.submit(LARGE), engine.submit(SMALL)]
    assert engine.batches[1:] == [[tokens(LARGE)], [tokens(SMALL)]]
    assert all(future.done() for future in asked)


def finished(done: list[int], number: int, _: "Future[Scored]") -> None:
    done.append(number)


def test_the_earliest_deadline_goes_first(tmp_path: Path) -> None:
    done: list[int] = []
    with busy(tmp_path, batch_tokens=1) as engine:
        now = time.monotonic()
        for number, seconds in enumerate((500.0, 100.0, 300.0, 100.0)):
            engine.submit(SMALL, now + seconds).add_done_callback(partial(finished, done, number))
    assert done == [1, 3, 2, 0]


def test_what_is_late_is_not_computed(tmp_path: Path) -> None:
    with busy(tmp_path) as engine:
        late = engine.submit(SMALL, time.monotonic() - 1e-6)
        asked = engine.submit(SMALL, time.monotonic() + 1000)
    assert engine.batches[1:] == [[tokens(SMALL)]]
    assert asked.result().scores
    with pytest.raises(DeadlineError, match="until it was too late"):
        late.result()


EACH_S, PER_TOKEN_S = 50.0, 2.0
"""Seconds for a token: nobody would wait for that, but it is clear what must come out."""


def teach(engine: Busy) -> None:
    """Batches were seen to take as long as the two above say, without error; and it learns no more:
    what the test's own batches take says nothing."""
    for count in (10, 20):
        engine.engine._pace.learn(count, EACH_S + PER_TOKEN_S * count)
    engine.engine._pace.learn = lambda tokens, seconds: None  # type: ignore[method-assign]


def test_what_waits_and_what_is_computed_takes_the_time_it_took(tmp_path: Path) -> None:
    """And who comes next has to leave time for a batch that is worth what it costs: 25 tokens."""
    with busy(tmp_path, batch_tokens=40) as engine:
        idle = engine.engine.expected_s(30)
        teach(engine)
        assert idle == 0.0
        assert engine.engine.expected_s(30) == pytest.approx(EACH_S + 30 * PER_TOKEN_S)
        assert engine.engine.expected_s(10) == pytest.approx(EACH_S + 25 * PER_TOKEN_S)
        waiting = [engine.submit(LARGE) for _ in range(3)]
        assert 40 < 3 * tokens(LARGE) + 30 <= 80, "two batches, and others will fill the second"
        assert engine.engine.expected_s(30) == pytest.approx(2 * EACH_S + PER_TOKEN_S * 80)
        assert waiting[1].cancel()
    assert engine.engine._waiting_tokens == 0
    # Idle again: whatever a batch took, one that is tried finds out what it takes now.
    assert engine.engine._pace.seconds(10, 1) > 0
    assert engine.engine.expected_s(10) == 0.0


def test_a_batch_ends_where_its_first_would_be_late(tmp_path: Path) -> None:
    """Three of them are in time with one other, not with two."""
    two = EACH_S + PER_TOKEN_S * 2 * tokens(SMALL)
    with busy(tmp_path) as engine:
        teach(engine)
        now = time.monotonic()
        for _ in range(3):
            engine.submit(SMALL, now + two + PER_TOKEN_S * tokens(SMALL) / 2)
        for _ in range(2):
            engine.submit(SMALL, now + 1e6)
    assert [len(batch) for batch in engine.batches[1:]] == [2, 2, 1]


def test_one_who_leaves_no_time_for_a_batch_does_not_make_all_others_late(tmp_path: Path) -> None:
    """Alone it would be in time; but so many wait that a batch has to be worth what it costs."""
    alone = EACH_S + PER_TOKEN_S * tokens(SMALL)
    with busy(tmp_path) as engine:
        teach(engine)
        now = time.monotonic()
        hasty = engine.submit(SMALL, now + alone + 1.0)
        others = [engine.submit(SMALL, now + 1e6) for _ in range(20)]
    assert 20 * tokens(SMALL) > EACH_S / PER_TOKEN_S > tokens(SMALL) + 1
    with pytest.raises(DeadlineError):
        hasty.result()
    assert engine.batches[1:] == [[tokens(SMALL)] * 20]
    assert all(other.result().scores for other in others)


def test_where_few_wait_it_is_scored_before_them(tmp_path: Path) -> None:
    alone = EACH_S + PER_TOKEN_S * tokens(SMALL)
    with busy(tmp_path) as engine:
        teach(engine)
        now = time.monotonic()
        hasty = engine.submit(SMALL, now + alone + 1.0)
        engine.submit(SMALL, now + 1e6)
    assert engine.batches[1:] == [[tokens(SMALL)], [tokens(SMALL)]]
    assert hasty.result().scores


def test_who_is_alone_is_tried_however_long_it_seems_to_take(tmp_path: Path) -> None:
    with busy(tmp_path) as engine:
        teach(engine)
        hasty = engine.submit(SMALL, time.monotonic() + 30.0)
    assert hasty.result().scores


def test_what_is_cancelled_is_not_computed(tmp_path: Path) -> None:
    with busy(tmp_path) as engine:
        asked = [engine.submit(user) for user in (SMALL, LARGE, SMALL)]
        assert asked[1].cancel()
    assert engine.batches[1:] == [[tokens(SMALL)] * 2]
    assert asked[2].result().scores


def test_a_fault_is_its_askers_alone(tmp_path: Path) -> None:
    with busy(tmp_path) as engine:
        whole = engine.submit(SMALL)
        broken = engine.engine.submit(table([LARGE]).drop_columns(["candidates"]))
        other = engine.submit(LARGE)
    with pytest.raises(KeyError):
        broken.result()
    assert whole.result().scores[0].shape == (1, 2)
    assert other.result().scores[0].shape == (3, 2)


def test_closed_it_takes_no_more(tmp_path: Path) -> None:
    with busy(tmp_path) as engine:
        asked = [engine.submit(SMALL) for _ in range(3)]
    assert all(future.done() for future in asked)
    with pytest.raises(RuntimeError, match="closed"):
        engine.submit(SMALL)
