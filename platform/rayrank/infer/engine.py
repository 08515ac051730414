"""The engine: user rows in, predictions out, on a thread of its own.

Whenever it is free it takes all that waits, up to a number of tokens and as far as the first of it
is still answered in time, and scores it together: the longer scoring takes, the more waits, the
more is taken. No timer, nothing is held back.
"""

import heapq
import itertools
import math
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import pyarrow as pa
import torch

from rayrank.errors import DeadlineError
from rayrank.infer.bundle import Bundle
from rayrank.infer.pace import Pace
from rayrank.infer.scorer import Precision, Scored, Scorer
from rayrank.infer.warm import example_visits

BATCH_TOKENS = 16_384
CACHE_BYTES = 1 << 30
PACED = (1, 8)
"""Users in the batches by which a fresh engine learns how long batches take."""


class Counts(NamedTuple):
    """Of all that an engine did, and (the first) of what waits for it."""

    waiting_tokens: int
    batches: int
    tokens: int
    """Scored, in those batches."""
    encoded: int
    """Prefixes: how many had to be made, had more events, were kept whole; and how many made room
    for others."""
    extended: int
    found: int
    dropped: int


@dataclass(order=True)
class _Asked:
    deadline: float
    number: int
    rows: pa.Table = field(compare=False)
    tokens: int = field(compare=False)
    came: float = field(compare=False)
    answer: "Future[Scored]" = field(compare=False, default_factory=Future)


class Engine:
    """Scores what it is asked on one thread, which alone touches the model.

    (A CUDA graph and its static buffers belong to one thread; servers call from many.)
    """

    def __init__(
        self,
        bundle: Bundle,
        device: torch.device | str | None = None,
        *,
        precision: Precision | None = None,
        batch_tokens: int = BATCH_TOKENS,
        cache_bytes: int = CACHE_BYTES,
        replays: bool | None = None,
    ) -> None:
        """The bundle's ranker is the engine's from now on.

        device: a GPU where there is one, unless said. precision: float16 on GPUs and float32 on
        CPUs, unless said. batch_tokens: of the requests scored together; one that has more is
        scored alone. cache_bytes: of users' prefixes, where the model's can be kept; 0 keeps none.
        replays: whether `warm` records parts of the model to replay them; on GPUs, unless said.
        """
        self.bundle, self.batch_tokens = bundle, batch_tokens
        self.scorer = Scorer(bundle, device, precision, cache_bytes, batch_tokens, replays)
        self._waiting: list[_Asked] = []
        self._waiting_tokens = 0
        self._batches = self._tokens = 0
        self._pace = Pace()
        self._busy_until = 0.0
        self._busy_since: float | None = None
        self._lock = threading.Lock()
        self._closed = False
        self._numbers = itertools.count()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")

    def submit(self, rows: pa.Table, deadline: float = math.inf) -> "Future[Scored]":
        """Score user rows. Of what waits, the earliest deadline (of `time.monotonic`) goes first.
        What is cancelled before its turn is not computed, nor is what is late by then or, where
        others wait, would be late when it is scored: its answer is a DeadlineError. RuntimeError
        once closed."""
        tokens = tokens_of(rows)
        asked = _Asked(deadline, next(self._numbers), rows, tokens, time.monotonic())
        with self._lock:
            if self._closed:
                raise RuntimeError("the engine is closed")
            heapq.heappush(self._waiting, asked)
            self._waiting_tokens += tokens
            # One turn for each request; those whose request was taken along find nothing to do.
            self._thread.submit(self._turn)
        return asked.answer

    def expected_s(self, tokens: int) -> float:
        """How long it takes, by what batches took so far and how sure that is, until so many tokens
        more are scored, after all that waits; 0 while there is nothing to do. (Whatever the last
        batch took, the next one may not: who never tries would never learn.)"""
        with self._lock:
            if not self._waiting_tokens and self._busy_since is None:
                return 0.0
            # Others will come who make the batch worth its cost (`_take`).
            tokens = self._waiting_tokens + max(tokens, self._worth())
            batches = -(-tokens // self.batch_tokens)
            if batches > 1:  # so many come that the last batch will be full by its turn
                tokens = batches * self.batch_tokens
            running = max(0.0, self._busy_until - time.monotonic())
            return running + self._pace.surely(tokens, batches)

    def busy_s(self) -> float:
        """For how long the batch that is scored now has been; 0 where none is."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    def counts(self) -> Counts:
        """As they are now."""
        cache = self.scorer.cache
        prefixes = (0, 0, 0, 0)
        if cache is not None:
            prefixes = (cache.encoded, cache.extended, cache.found, cache.dropped)
        return Counts(self._waiting_tokens, self._batches, self._tokens, *prefixes)

    def warm(self) -> None:
        """Score an example, so that nobody waits for what happens once: a second and more; and
        record what is replayed from then on, on a GPU for a minute."""
        visits = example_visits(self.bundle.schema)
        for rows in visits:
            self.submit(rows).result()
        self._thread.submit(self.scorer.record).result()
        self._pace = Pace()  # what happens once says nothing of what comes
        # Of one size alone, all that a batch takes would be its tokens': many small requests would
        # be taken for too much.
        for count in PACED:
            self.submit(pa.concat_tables([visits[-1]] * count)).result()

    def close(self) -> None:
        """Finish what was submitted and end the thread."""
        with self._lock:
            self._closed = True
        self._thread.shutdown()

    def _turn(self) -> None:
        batch = self._take()
        try:
            self._answer(batch)
        except Exception as error:
            if len(batch) == 1:
                batch[0].answer.set_exception(error)
                return
            for asked in batch:  # whosever fault it is, it is nobody else's
                try:
                    self._answer([asked])
                except Exception as own:
                    asked.answer.set_exception(own)

    def _take(self) -> list[_Asked]:
        """All that waits, in order, as far as the budget goes and the first of it stays in time."""
        batch: list[_Asked] = []
        tokens = 0
        with self._lock:
            now = time.monotonic()
            while self._waiting:
                more = tokens + self._waiting[0].tokens
                ends = now + self._pace.surely(more, 1)
                if batch and (more > self.batch_tokens or ends > batch[0].deadline):
                    break
                asked = heapq.heappop(self._waiting)
                self._waiting_tokens -= asked.tokens
                if not asked.answer.set_running_or_notify_cancel():
                    continue
                if not batch and asked.deadline < now + self._first_needs_s(asked.tokens):
                    late = DeadlineError("others were scored before it until it was too late")
                    asked.answer.set_exception(late)
                    continue
                batch.append(asked)
                tokens = more
            self._busy_until = time.monotonic() + self._pace.seconds(tokens, 1)
        return batch

    def _first_needs_s(self, tokens: int) -> float:
        """What the first of a batch must have left, of so many tokens, before those that wait.

        Of many, one who leaves time for hardly a batch would make the others late, one after the
        other. But one whom nobody waits behind is tried even if there seems to be no time: nothing
        else says how long batches take."""
        if not self._waiting:
            return 0.0
        worth = self._worth()
        return self._pace.surely(max(tokens, worth) if self._waiting_tokens >= worth else tokens, 1)

    def _worth(self) -> int:
        return math.ceil(min(self._pace.worth(), self.batch_tokens))

    def _answer(self, batch: list[_Asked]) -> None:
        if not batch:
            return
        begun = self._busy_since = time.monotonic()
        try:
            scores, ms = self.scorer.score(pa.concat_tables([asked.rows for asked in batch]))
        finally:
            self._busy_since = None
        tokens = sum(asked.tokens for asked in batch)
        with self._lock:
            self._batches, self._tokens = self._batches + 1, self._tokens + tokens
            self._pace.learn(tokens, time.monotonic() - begun)
            self._busy_until = 0.0
        rows = 0
        for asked in batch:
            own = scores[rows : rows + len(asked.rows)]
            rows += len(asked.rows)
            asked.answer.set_result(Scored(own, ms._replace(wait=1000 * (begun - asked.came))))


def tokens_of(rows: pa.Table) -> int:
    """Of all user rows."""
    return int(rows["tokens"].to_numpy().sum())
