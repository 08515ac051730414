"""One day of daily training: measured before it is learned from, learned from, gated, promoted.

    rows      of the day, and of days before whose labels have become known since
    before    the last accepted model scores the day, of which it has learned nothing
    day gate  a day on which it falls far below what it was is damaged, and not learned from
    train     one pass over the day, from that model's checkpoint, its optimizers' state included;
              some of the day's users are held out
    quality   the new model against the one before, on users held out that day and the day before
    HTTP      the bundle's served scores against the trainer's
    promote   serving follows

A day that fails a gate is recorded and changes nothing: the next one goes on from the last model
that was accepted.
"""

import time
from datetime import date
from typing import NamedTuple

import pyarrow as pa

from rayrank.data.held_out import DayPart, Who, is_held_out
from rayrank.data.row_files import day_fingerprint, days_of
from rayrank.errors import ConfigError, DivergedError
from rayrank.evaluate.gate import (
    Gate,
    TaskMeasure,
    day_gates,
    guess_gates,
    measured,
    quality_gates,
)
from rayrank.evaluate.predict import predict
from rayrank.run.daily_bundle import check_day, export_day
from rayrank.run.daily_outcome import DayOutcome, Decided, read_decided, told_gates, write_outcome
from rayrank.run.day_told import tell_day
from rayrank.run.promotion import promote
from rayrank.run.run import Run
from rayrank.run.stages import build_days, train_in
from rayrank.run.terminal import say, watching
from rayrank.schema import Schema
from rayrank.storage import AnyPath
from rayrank.train.checkpoint import read_state
from rayrank.train.config import RankerConfig, TrainConfig
from rayrank.train.finished import BEGUN, finished_checkpoint, is_finished
from rayrank.train.run import config_made_from, start_of
from rayrank.train.warm import Start, start_at
from rayrank.versions import claim


def demand_daily(run: Run) -> None:
    """Raises ConfigError where a run's config is not one for daily training."""
    split = run.config.data.split
    if not split.valid == split.test == 0:
        raise ConfigError(
            "data.split: day by day, every day is the test of the model before it, and then "
            "trained on: set data.split.test=0 and data.split.valid=0"
        )


class Before(NamedTuple):
    """The model that is there before a day."""

    start: Start
    outcome: DayOutcome | None
    """Of its day; None where it was not trained day by day."""

    @property
    def config(self) -> RankerConfig:
        """Enough of it to score with."""
        return RankerConfig(model=self.start.model, train=TrainConfig(seed=self.start.seed))


def learn_day(run: Run, name: str, day: date) -> DayOutcome:
    """Take a day that was not decided on, or was refused, and decide. What is there of its training
    is gone on with. Raises RayrankError where no decision can be made."""
    begun = time.perf_counter()
    decided = read_decided(run, name)
    before = _before(run, name, day, decided)
    if before is not None:
        _demand_fit(run, name, before)
    build_days(run, str(day))
    with run.stage("day", f"{day}: {name}"):
        of_day = Day(run, name, day, before, decided)
        outcome = of_day.decide()
        outcome = outcome.model_copy(update={"seconds": time.perf_counter() - begun})
        write_outcome(run, outcome)
        tell_day(outcome)
        for line in told_gates(outcome):
            say(line)
        end = f"bundle {outcome.bundle} is promoted" if outcome.accepted else "REFUSED"
        say(f"{day}: {end}")
    return outcome


def _before(run: Run, name: str, day: date, decided: Decided) -> Before | None:
    """The last accepted model before a day. Raises ConfigError for a day that lies before it."""
    last = decided.last_accepted()
    if last is not None and day <= last:
        raise ConfigError(
            f"{day}: {name} has learned from {last} already, and goes on with later days only"
        )
    if last is None:
        start = start_of(run.config.rankers[name])
        if start is None:
            say(f"{day}: no model before it: {name} begins from nothing")
            return None
        say(f"{day}: {name} begins from {start.checkpoint} (train.start_from)")
        return Before(start, None)
    outcome = decided.accepted_before(day)[-1]
    missing = (day - last).days - 1
    say(
        f"{day}: {name} goes on from the model of {last} ({outcome.version})"
        + (f"; {missing} days between were refused, or never trained on" if missing else "")
    )
    return Before(start_at(run.folder.ranker(name) / str(outcome.version)), outcome)


def _demand_fit(run: Run, name: str, before: Before) -> None:
    """Raises ConfigError where the ranker cannot go on from the model before it, or that one cannot
    score the rows that are built now."""
    _, schema = run.open_log()
    before.start.demand_fit(schema, run.config.rankers[name])
    old = before.start.schema
    gone = [
        f"{token}.{feature}"
        for token in {group.token: None for group in old.groups}
        for feature in old.features_of(token)
        if feature not in schema.features or token not in schema.features[feature].tokens
    ]
    if gone:
        raise ConfigError(
            f"the schema has no {', '.join(gone)} any more, which the model before reads: it "
            "cannot score the new rows. Train on them first (jobs/train.py, with "
            f"rankers.OTHER.train.start_from={before.start.checkpoint}), and go on from that, day "
            "by day, as another ranker"
        )


class Day:
    """A day whose rows are there."""

    def __init__(
        self, run: Run, name: str, day: date, before: Before | None, decided: Decided
    ) -> None:
        self.run, self.name, self.day, self.before = run, name, str(day), before
        _, self.schema = run.open_log()
        self.rows: AnyPath = run.rows()
        self.settings, self.gates_config = run.config.daily, run.config.daily.gates
        self.config = self.settings.of_day(run.config.rankers[name], first=before is None)
        self.earlier = decided.accepted_before(day)
        self.content = day_fingerprint(self.rows / "train", self.day)
        self.gates: list[Gate] = []

    def decide(self) -> DayOutcome:
        """All of it, up to the promotion."""
        scored_before, measure = None, None
        if self.before is not None:
            scored_before = self._score_before(self.before)
            measure = measured(self._of_day(scored_before), self._tasks(), self._samples)
            history = [outcome.measure for outcome in self.earlier]
            self.gates += day_gates(measure, history, self._tasks(), self.gates_config)
            if not self._passed:
                say(f"{self.day}: not learned from: the day looks damaged")
                return self._outcome(measure)
        try:
            folder = self._train()
        except DivergedError as error:
            self.gates.append(Gate(name="finite", passed=False, told=str(error)))
            return self._outcome(measure)
        checkpoint = finished_checkpoint(folder)
        steps = read_state(checkpoint).position.step
        told = f"every loss of {steps:,} steps and every weight after them"
        self.gates.append(Gate(name="finite", passed=True, told=told))
        scored = self._score(self.config, self.schema, checkpoint, "held_out")
        today = self._of_day(scored)
        held_out = measured(today, self.schema, self._samples)
        self._judge(held_out, scored_before, scored)
        if not self._passed:
            return self._outcome(measure, held_out, folder)
        manifest = export_day(self.run, self.name, self.config, folder, held_out)
        self.gates.append(check_day(self.run, manifest, self.day, today))
        if not self._passed:
            return self._outcome(measure, held_out, folder)
        promote(self.run, manifest.version)
        return self._outcome(measure, held_out, folder, manifest.version)

    @property
    def _passed(self) -> bool:
        return all(gate.passed for gate in self.gates)

    @property
    def _samples(self) -> int:
        return self.gates_config.samples

    def _tasks(self) -> Schema:
        """A schema with the tasks that both models have."""
        if self.before is None:
            return self.schema
        return min(self.before.start.schema, self.schema, key=lambda schema: len(schema.tasks))

    def _parts(self, who: Who) -> list[DayPart]:
        """Of this day some rows, and of the accepted one before it those of held-out users."""
        parts = [DayPart(self.day, self.settings.held_out, who)]
        if self.before is not None and self.before.outcome is not None:
            of = self.before.outcome
            parts.append(DayPart(of.day, of.share, "held_out"))
        return parts

    def _score(
        self, config: RankerConfig, schema: Schema, checkpoint: AnyPath, who: Who
    ) -> pa.Table:
        with watching(f"scoring {self.day}") as watch:
            return predict(
                config,
                schema,
                checkpoint,
                self.rows / "train",
                self.run.config.evaluate,
                watch,
                self._parts(who),
            )

    def _score_before(self, before: Before) -> pa.Table:
        return self._score(before.config, before.start.schema, before.start.checkpoint, "all")

    def _of_day(self, scored: pa.Table, day: str | None = None) -> pa.Table:
        """The candidates of a day (this one)."""
        days = days_of(scored["window_start"].to_numpy(), self.schema)
        return scored.filter(pa.array(days == (day or self.day)))

    def _train(self) -> AnyPath:
        """Train, or go on with a training that was cut. Raises DivergedError."""
        start = None if self.before is None else self.before.start
        part = DayPart(self.day, self.settings.held_out, "learned_from")
        made_from = {
            "day": self.day,
            "rows": self.content,
            "held_out": self.settings.held_out,
            **config_made_from(self.config, self.schema, start),
        }
        folder = claim(self.run.folder.ranker(self.name), made_from, new=True, counts=BEGUN)
        if is_finished(folder):
            say(f"{self.name}: trained on {self.day} already ({folder.name})")
        else:
            train_in(
                self.run,
                self.name,
                folder,
                self.schema,
                self.config,
                self.rows,
                start=start,
                part=part,
            )
        return folder

    def _judge(
        self, held_out: dict[str, TaskMeasure], before: pa.Table | None, after: pa.Table
    ) -> None:
        """The gates of the day's model, on users it did not learn from."""
        if self.before is None or before is None:
            self.gates += guess_gates(held_out, self.schema)
            return
        today = self._of_day(before)
        mine = is_held_out(today["user"], self.day, self.settings.held_out)
        pairs = [(self.day, today.filter(pa.array(mine)), self._of_day(after))]
        if self.before.outcome is not None:
            day = self.before.outcome.day
            pairs.append((day, self._of_day(before, day), self._of_day(after, day)))
        for day, one, other in pairs:
            if len(one) == 0 and day != self.day:
                say(f"{day}: its rows are not there any more; its users do not judge")
                continue
            self.gates += quality_gates(day, one, other, self._tasks(), self.gates_config)

    def _outcome(
        self,
        before: dict[str, TaskMeasure] | None,
        held_out: dict[str, TaskMeasure] | None = None,
        folder: AnyPath | None = None,
        bundle: str | None = None,
    ) -> DayOutcome:
        of = None if self.before is None else self.before.outcome
        return DayOutcome(
            day=self.day,
            ranker=self.name,
            accepted=bundle is not None,
            rows=self.content,
            share=self.settings.held_out,
            went_on_from=None if of is None else of.day,
            before=before,
            held_out=held_out,
            gates=self.gates,
            version=None if folder is None else folder.name,
            bundle=bundle,
            seconds=0.0,
        )
