"""Progress one can watch: the run's journal, and Prometheus metrics through Ray."""

import time
from types import TracebackType
from typing import Self

from ray.util.metrics import Counter, Gauge

from rayrank.storage import AnyPath
from rayrank.train.checkpoint import Position
from rayrank.train.journal import EpochLine, Journal, NoteLine, StepLine
from rayrank.train.optimize import StepFacts
from rayrank.train.validate import Metrics


class Progress:
    """Rank 0 writes; the other ranks only go through the motions."""

    def __init__(self, journal: AnyPath, rank: int, position: Position, total: int) -> None:
        self.writes, self.total = rank == 0, total
        if self.writes:
            self.journal = Journal(journal, position.attempt, position.step, position.epoch)
            self.loss = Gauge("rayrank_train_loss", "Nats per candidate over the global batch")
            self.rate = Gauge("rayrank_train_tokens_per_second", "Over all workers")
            self.tokens = Counter("rayrank_train_tokens_total", "Tokens trained on")
            self.waited = Counter(
                "rayrank_train_waited_seconds_total", "Without a batch to train on, on rank 0"
            )
            self.since = time.perf_counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.flush()

    def step(self, position: Position, batches: int, facts: StepFacts, waited_s: float) -> None:
        """A step was taken; `batches` of the run's `total` are done. waited_s: for its batch."""
        if not self.writes:
            return
        now = time.perf_counter()
        seconds, self.since = now - self.since, now
        self.journal.write(
            StepLine(
                step=position.step,
                epoch=position.epoch,
                batches=batches,
                of=self.total,
                seconds=seconds,
                waited_s=waited_s,
                attempt=position.attempt,
                **facts._asdict(),
            )
        )
        self.loss.set(facts.loss)
        self.rate.set(facts.tokens / seconds)
        self.tokens.inc(facts.tokens)
        self.waited.inc(waited_s)

    def epoch(self, position: Position, metrics: Metrics) -> None:
        """An epoch has ended, with these metrics on later data."""
        if self.writes:
            self.journal.write(EpochLine(position.step, position.epoch, metrics))
            self.since = time.perf_counter()

    def flush(self) -> None:
        """Let everything be read that was told so far."""
        if self.writes:
            self.journal.flush()

    def note(self, position: Position, text: str) -> None:
        """Something a person should know, at once."""
        if self.writes:
            self.journal.write(NoteLine(position.step, position.attempt, text))
        self.flush()
