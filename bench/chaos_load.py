"""A steady load that lasts as long as something is done to the endpoint, and what came of it."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from rayrank.serve.load import Plan, Sent, load, poisson
from rayrank.strict import Strict

from bench.chaos_stage import Stage, until

TIMEOUT_MS = 9_000
"""As long as clients may wait: on two cores a replica that starts takes them from those that
serve."""


class Steady(NamedTuple):
    """How much is asked."""

    per_s: float
    requests: int
    """At least."""
    part_s: float
    """Parts follow one another, each on new connections, until enough were sent and what is done
    meanwhile is done."""


class Asked(NamedTuple):
    """A request, by this machine's monotonic clock."""

    due: float
    sent: float
    done: float
    status: int


class Counts(Strict):
    """What came of the requests of a load."""

    requests: int
    failures: int
    """Whatever is not 200: no answer (0) and a refusal for load (503) too."""
    statuses: dict[int, int]


class Load:
    """Under way, or over."""

    def __init__(self, stage: Stage, steady: Steady) -> None:
        self.asked: list[Asked] = []
        """Of the parts that are over."""
        self._stage, self._steady = stage, steady
        self._parts, self._over = 0, threading.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="load")
        self._running = self._thread.submit(self._run)

    def counts(self) -> Counts:
        """Of all of it."""
        return counts(self.asked)

    def until_next_part(self) -> None:
        """Wait until the part that is under way is over: all that follow are sent with the key that
        the stage has now."""
        parts = self._parts
        until("a part of the load is over", lambda: self._parts > parts or self._running.done())

    def end(self) -> None:
        """Once they are enough."""
        self._over.set()
        self._thread.shutdown()
        self._running.result()

    def _run(self) -> None:
        while not self._over.is_set() or len(self.asked) < self._steady.requests:
            due_s = poisson(self._steady.per_s, self._steady.part_s, seed=self._parts)
            self.asked += _part(self._stage, due_s)
            self._parts += 1


def counts(asked: Sequence[Asked]) -> Counts:
    """Of some requests."""
    statuses = Counter(each.status for each in asked)
    return Counts(
        requests=len(asked),
        failures=len(asked) - statuses[200],
        statuses=dict(sorted(statuses.items())),
    )


@contextmanager
def steady_load(stage: Stage, steady: Steady) -> Iterator[Load]:
    """Requests come before what happens inside, throughout, and after it until they are enough."""
    found = Load(stage, steady)
    try:
        found.until_next_part()
        yield found
    finally:
        found.end()


def _part(stage: Stage, due_s: np.ndarray) -> list[Asked]:
    plan = Plan(stage.url, [(0.0, stage.key)], stage.bodies, due_s, TIMEOUT_MS)
    sent: list[Sent] = load(stage.pool, plan).result()
    # The generator's clock began no later: by it, nothing is placed before it happened.
    begun = time.monotonic() - max(each.done_s for each in sent)
    return [
        Asked(begun + each.due_s, begun + each.sent_s, begun + each.done_s, each.status)
        for each in sent
    ]
