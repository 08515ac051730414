"""Progress one can watch: the run's journal, TensorBoard's event files, and Prometheus metrics
through Ray."""

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from ray.util.metrics import Counter, Gauge

from rayrank.embedding.facts import TableFacts
from rayrank.storage import AnyPath
from rayrank.train import series
from rayrank.train.checkpoint import Position
from rayrank.train.events import Events
from rayrank.train.finished import EVENTS, JOURNAL
from rayrank.train.journal import EpochLine, Journal, NoteLine, StepLine
from rayrank.train.optimize import StepFacts
from rayrank.train.running_auc import RunningAUC
from rayrank.train.scalars import scalars_of
from rayrank.train.tally import Tally
from rayrank.train.validate import Metrics


class Progress:
    """Rank 0 writes; the other ranks only go through the motions."""

    def __init__(
        self,
        folder: AnyPath,
        rank: int,
        position: Position,
        total: int,
        *,
        tasks: Sequence[str],
        peak_flops: float | None,
    ) -> None:
        """folder: the training run's, `…/RANKER/VERSION`. total: its batches. tasks: the binary
        ones, as `Observed` has them. peak_flops: per second, of one rank's device at most."""
        self.writes, self.total, self.peak_flops = rank == 0, total, peak_flops
        if self.writes:
            at = (position.attempt, position.step)
            self.attempt, self.last = at
            self.failed: NoteLine | None = None
            """What is to be said of a store that fails, once it can be."""
            self.journal = Journal(folder / JOURNAL, *at, position.epoch)
            self.events = Events(folder / EVENTS, *at)
            self.auc = RunningAUC(tasks)
            self.gauges = _Gauges(folder.parent.name, folder.name)
            self.tally = Tally()
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

    def step(
        self,
        position: Position,
        batches: int,
        facts: StepFacts,
        waited_s: float,
        phases: dict[str, float],
    ) -> None:
        """A step was taken; `batches` of the run's `total` are done. waited_s: for its batch.
        phases: seconds of each."""
        if not self.writes:
            return
        now = time.perf_counter()
        seconds, self.since = now - self.since, now
        seen = facts.observed
        mfu = None
        if seen.flops is not None and self.peak_flops is not None:
            mfu = seen.flops / (seconds * self.peak_flops * position.world_size)
        line = StepLine(
            step=position.step,
            epoch=position.epoch,
            batches=batches,
            of=self.total,
            seconds=seconds,
            waited_s=waited_s,
            attempt=position.attempt,
            loss=facts.loss,
            candidates=facts.candidates,
            tokens=facts.tokens,
            users=facts.users,
            auxiliary=facts.auxiliary,
            gradient_norm=facts.gradient_norm,
            loss_scale=facts.loss_scale,
            auc=self.auc.add(seen.histograms),
            flops=seen.flops,
            mfu=mfu,
            balance=seen.balance,
            phases=phases,
            tables={name: numbers_of(of) for name, of in facts.tables.items()},
        )
        self._write(line)
        self.gauges.show(line)
        begun = self.tally.add(facts.tables)
        if begun is not None:
            self.note(position, begun)

    def epoch(self, position: Position, metrics: Metrics) -> None:
        """An epoch has ended, with these metrics on later data."""
        if self.writes:
            self._write(EpochLine(position.step, position.epoch, metrics))
            told = self.tally.take()
            if told is not None:
                self.note(position, told)
            self.since = time.perf_counter()

    def flush(self) -> None:
        """Let everything be read that was told so far. A store that fails is tried again with what
        comes next, and a note then says since when."""
        if not self.writes:
            return
        if self._told(self.journal.flush, self.events.flush) and self.failed is not None:
            note, self.failed = self.failed, None
            self.journal.write(note)
            self._told(self.journal.flush)

    def _write(self, line: StepLine | EpochLine) -> None:
        self.last = line.step
        scalars = scalars_of(line)
        self._told(lambda: self.journal.write(line), lambda: self.events.write(line.step, scalars))

    def _told(self, *writes: Callable[[], None]) -> bool:
        """Whether all could be written: a run goes on without being watched."""
        faults = []
        for write in writes:
            try:
                write()
            except Exception as error:  # stores fail in many ways
                faults.append(f"{type(error).__name__}: {error}")
        if faults and self.failed is None:
            self.failed = NoteLine(
                self.last,
                self.attempt,
                f"from step {self.last} on the store failed ({faults[0]}); the run went on, and "
                "what it told meanwhile is written now",
            )
        return not faults

    def note(self, position: Position, text: str) -> None:
        """Something a person should know, at once."""
        if self.writes:
            line = NoteLine(position.step, position.attempt, text)
            self._told(lambda: self.journal.write(line))
        self.flush()


def numbers_of(table: TableFacts) -> dict[str, float]:
    """As the journal tells them."""
    return {
        "ids": table.ids,
        "load": table.ids / table.capacity,
        "bytes": table.bytes,
        "hit_rate": table.hit_rate,
        "inserted": table.inserted,
        "refused": table.refused,
        "waiting": table.waiting,
        "evicted": table.evicted,
    }


class _Gauges:
    """What Prometheus sees of a step."""

    def __init__(self, ranker: str, version: str) -> None:
        self.of = {"ranker": ranker, "version": version}
        self.loss = Gauge(*series.LOSS.told)
        self.auc = Gauge(*series.AUC.told)
        self.done = Gauge(*series.DONE.told)
        self.rate = Gauge(*series.RATE.told)
        self.flops = Gauge(*series.FLOPS.told)
        self.mfu = Gauge(*series.MFU.told)
        self.balance = Gauge(*series.BALANCE.told)
        self.tokens = Counter(*series.TOKENS.told)
        self.waited = Counter(*series.WAITED.told)
        self.phases = Counter(*series.PHASES.told)
        self.tables = {what: Gauge(*of.told) for what, of in series.OF_TABLES.items()}
        self.table_ids = {what: Counter(*of.told) for what, of in series.COUNTED_OF_TABLES.items()}

    def show(self, line: StepLine) -> None:
        of = self.of
        self.loss.set(line.loss, of)
        for task, auc in line.auc.items():
            self.auc.set(auc, {**of, "task": task})
        self.done.set(line.batches / line.of, of)
        self.rate.set(line.tokens / line.seconds, of)
        if line.flops is not None:
            self.flops.set(line.flops / line.seconds, of)
        if line.mfu is not None:
            self.mfu.set(line.mfu, of)
        if line.balance is not None:
            self.balance.set(line.balance, of)
        for name, told in line.tables.items():
            for what, gauge in self.tables.items():
                gauge.set(told[what], {**of, "table": name})
            for what, counter in self.table_ids.items():
                if told[what] > 0:  # a counter takes nothing else
                    counter.inc(told[what], {**of, "table": name})
        self.tokens.inc(line.tokens, of)
        if line.waited_s > 0:  # a counter takes nothing else
            self.waited.inc(line.waited_s, of)
        for phase, seconds in line.phases.items():
            if seconds > 0:  # a counter takes nothing else
                self.phases.inc(seconds, {**of, "phase": phase})
