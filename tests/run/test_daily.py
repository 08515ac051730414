"""Three days on real Ray: one that begins, one whose clicks were dealt at random, one that goes on.

The damaged day is stopped before it is learned from; with that gate opened, after it was.
"""

import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest
import yaml
from rayrank.data.config import SimulateConfig
from rayrank.errors import ConfigError, DataError
from rayrank.run.config import RunConfig
from rayrank.run.daily import demand_daily
from rayrank.run.daily_days import learn_days, watch_days
from rayrank.run.daily_outcome import DayOutcome, read_decided
from rayrank.run.promotion import read_check
from rayrank.run.run import Run
from rayrank.train import checkpoint as ckpt
from rayrank.train.finished import BEGUN, JOURNAL, finished_checkpoint
from rayrank.train.journal import read_story
from rayrank.versions import CURRENT, made_from, named_version, versions

from bench.daily_log import write_log

from ..clusters import ROOT
from .daily import FIRST, FOURTH, NAME, SECOND, THIRD, config, run_in, wait_for


@dataclass(frozen=True)
class Days:
    folder: Path
    first: DayOutcome
    again: DayOutcome
    """The first day once more, as after a process that was killed before it wrote what came of
    it."""
    damaged: DayOutcome
    learned: DayOutcome
    """The damaged day with its first gate opened, and learned from at high rates: at those of a day
    it would do little harm."""
    current: str | None
    """After that."""
    third: DayOutcome
    said: str

    @property
    def run(self) -> Run:
        return run_in(self.folder)

    def story(self, outcome: DayOutcome) -> list[str]:
        folder = self.run.folder.ranker(NAME) / str(outcome.version)
        return [note.text for note in read_story(folder / JOURNAL).notes]


@pytest.fixture(scope="module")
def days(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Days:
    folder = tmp_path_factory.mktemp("daily")
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        for module in ("daily", "daily_days", "stages"):
            patch.setattr(f"rayrank.run.{module}.say", said.append)
        write_log(folder / "whole", SimulateConfig(users=400, days=4, mean_length=30), damaged=[2])
        log, later = folder / "log", folder / "later"
        shutil.move(folder / "whole", log)
        for name in ("exposures", "events"):  # the third day is not there yet, nor the fourth
            (later / name).mkdir(parents=True)
            for number in (3, 4):
                shutil.move(log / name / f"day-{number}.parquet", later / name)
        run = run_in(folder)
        (first,) = learn_days(run, NAME, "new")
        outcome = run.folder.day(NAME, FIRST)
        outcome.unlink()
        (again,) = learn_days(run, NAME, FIRST)

        stop, found = threading.Event(), list[DayOutcome]()
        watcher = threading.Thread(
            target=lambda: found.extend(watch_days(run, NAME, 0.2, stop)), daemon=True
        )
        watcher.start()
        wait_for(said, f"waiting for {SECOND} to be over")
        for name in ("events", "exposures"):
            shutil.move(later / name / "day-3.parquet", log / name)
        wait_for(said, f"waiting for {THIRD} to be over")
        stop.set()
        watcher.join()
        (damaged,) = found

        harmful = run_in(folder, day_gate=1.0, harm=6.0)
        (learned,) = learn_days(harmful, NAME, SECOND, again=True)
        current = named_version(run.folder.bundles, CURRENT)
        for name in ("events", "exposures"):
            shutil.move(later / name / "day-4.parquet", log / name)
        second, third = learn_days(run, NAME, f"{SECOND}..{THIRD}")
    assert second == learned  # passed over, and the rest went on
    return Days(folder, first, again, damaged, learned, current, third, "\n".join(said))


def names(outcome: DayOutcome, *, passed: bool) -> set[str]:
    return {gate.name for gate in outcome.gates if gate.passed == passed}


def test_a_first_day_begins_from_nothing_and_says_so(days: Days) -> None:
    first = days.first
    assert (first.day, first.accepted, first.before, first.went_on_from) == (
        FIRST,
        True,
        None,
        None,
    )
    assert names(first, passed=True) == {"finite", "guess", "consistency"}
    assert f"{FIRST}: no model before it: {NAME} begins from nothing" in days.said
    assert not any("begins from" in note for note in days.story(first))


def test_what_was_done_of_a_day_is_not_done_again(days: Days) -> None:
    same = days.first.model_copy(update={"seconds": days.again.seconds})
    assert days.again == same
    assert f"{NAME}: trained on {FIRST} already" in days.said


def test_a_damaged_day_is_not_learned_from(days: Days) -> None:
    damaged = days.damaged
    assert (damaged.day, damaged.accepted, damaged.version) == (SECOND, False, None)
    assert names(damaged, passed=False) == {"day"}
    (failed,) = damaged.failed
    assert failed.compared is not None
    assert failed.compared.task == "click"
    assert 0.45 < failed.compared.found.value < 0.55
    assert f"{SECOND}: not learned from: the day looks damaged" in days.said


def test_a_model_of_a_damaged_day_is_stopped_before_it_is_promoted(days: Days) -> None:
    """Users of the day before, whose labels are sound, tell."""
    learned = days.learned
    assert (learned.day, learned.accepted, learned.bundle) == (SECOND, False, None)
    assert learned.version is not None
    assert names(learned, passed=False) == {"quality"}
    assert FIRST in {gate.compared.day for gate in learned.failed if gate.compared is not None}
    assert days.current == days.first.bundle


def test_the_next_day_goes_on_from_the_last_accepted_model(days: Days) -> None:
    third = days.third
    assert (third.day, third.accepted, third.went_on_from) == (THIRD, True, FIRST)
    assert third.before is not None
    assert third.before["click"].metrics["auc"].value > 0.58
    assert names(third, passed=True) == {"day", "finite", "quality", "consistency"}
    run = days.run
    assert named_version(run.folder.bundles, CURRENT) == third.bundle
    checked = read_check(run, str(third.bundle))
    assert checked is not None
    assert checked.max_abs_diff <= checked.bound
    assert "1 days between were refused, or never trained on" in days.said

    before = finished_checkpoint(run.folder.ranker(NAME) / str(days.first.version))
    told = made_from(run.folder.ranker(NAME) / str(third.version))
    assert told["day"] == THIRD
    assert told["start"]["checkpoint"] == before.name
    notes = days.story(third)
    assert notes[0] == f"begins from {before}"
    assert ", 0 in part, 0 new, 0 left behind" in notes[1]


def test_the_optimizer_goes_on_too(days: Days) -> None:
    """AdamW counts every step; squares of rows only grow."""
    ranker = days.run.folder.ranker(NAME)
    one, other = (finished_checkpoint(ranker / str(of.version)) for of in (days.first, days.third))
    counts = [
        {value.item() for key, value in ckpt.read_dense(of)[1].items() if key.endswith("/step")}
        for of in (one, other)
    ]
    steps = [ckpt.read_state(of).position.step for of in (one, other)]
    assert counts == [{steps[0]}, {sum(steps)}]
    before, after = (
        {
            (name, key): square
            for name, rows in ckpt.read_rows(of).items()
            for key, square in zip(rows.keys.tolist(), rows.momentum.tolist(), strict=True)
        }
        for of in (one, other)
    )
    assert before.keys() <= after.keys()
    assert all(after[row] >= square for row, square in before.items())
    assert any(after[row] > square > 0 for row, square in before.items())


def test_held_out_users_are_not_learned_from(days: Days) -> None:
    outcome, run = days.third, days.run
    assert outcome.before is not None
    assert outcome.held_out is not None
    steps = read_story(run.folder.ranker(NAME) / str(outcome.version) / JOURNAL).steps
    held_out = outcome.held_out["click"].known
    assert sum(step.candidates for step in steps) + held_out == outcome.before["click"].known
    assert 0.15 < held_out / outcome.before["click"].known < 0.45


def test_every_day_is_kept_and_drawn(days: Days) -> None:
    run = days.run
    decided = read_decided(run, NAME)
    assert [(o.day, o.accepted) for o in decided.outcomes] == [
        (FIRST, True),
        (SECOND, False),
        (THIRD, True),
    ]
    assert decided.of(date(2026, 3, 3)) == days.learned
    picture = run.folder.days_picture(NAME).read_text()
    assert "refused" in picture
    assert len(versions(run.folder.ranker(NAME), BEGUN)) == 3


def test_days_that_cannot_be_decided_on_are_told(days: Days) -> None:
    run = days.run
    with pytest.raises(DataError, match=f"the log holds {FIRST} to {FOURTH}"):
        learn_days(run, NAME, "2026-03-09")
    with pytest.raises(DataError, match="expected 2026-11-24"):
        learn_days(run, NAME, "tuesday")
    with pytest.raises(ConfigError, match=f"{SECOND}: dlrm has learned from {THIRD} already"):
        learn_days(run, NAME, SECOND, again=True)
    assert learn_days(run, NAME, "new") == []  # the fourth day is under way


def test_what_cannot_go_on_is_told_before_anything_is_built(days: Days, tmp_path: Path) -> None:
    content = config(days.folder)
    told = RunConfig.model_validate(content)
    ranker = told.rankers[NAME]
    other = ranker.model_copy(update={"train": ranker.train.model_copy(update={"seed": 9})})
    there = versions(days.run.folder.rows)
    with pytest.raises(ConfigError, match=r"train\.seed: 9, and 0 where"):
        learn_days(Run(told.model_copy(update={"rankers": {NAME: other}})), NAME, FOURTH)

    schema = yaml.safe_load((days.folder / "log" / "schema.yaml").read_text())
    del schema["features"]["rating"]
    (tmp_path / "schema.yaml").write_text(yaml.safe_dump(schema))
    data = told.data.model_copy(update={"schema_path": str(tmp_path / "schema.yaml")})
    with pytest.raises(ConfigError, match=r"the schema has no candidate\.rating any more"):
        learn_days(Run(told.model_copy(update={"data": data})), NAME, FOURTH)
    assert versions(days.run.folder.rows) == there


def job(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "daily.yaml").write_text(yaml.safe_dump(config(folder)))
    return subprocess.run(
        [sys.executable, "jobs/daily.py", "--config", str(folder / "daily.yaml"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )


def test_the_job_says_by_its_status_that_a_day_was_refused(days: Days) -> None:
    """Of a range as well, whose other days are accepted."""
    ended = job(days.folder, "--day", f"{FIRST}..{THIRD}")
    assert ended.returncode == 3, ended.stderr
    assert f"{SECOND}: refused already" in ended.stderr
    assert "--again tries it once more" in ended.stderr
    assert "refused: quality" in ended.stderr


def test_a_config_of_other_training_is_refused_before_anything_starts(days: Days) -> None:
    ended = job(days.folder, "--day", FOURTH, "data.split.test=2026-03-04")
    assert ended.returncode == 2
    assert "set data.split.test=0" in ended.stderr
    assert "dashboard" not in ended.stderr


def test_a_log_that_does_not_grow_is_not_watched(tmp_path: Path) -> None:
    content = config(tmp_path) | {"data": {"source": "simulate", "split": {"test": 0}}}
    run = Run(RunConfig.model_validate(content))
    demand_daily(run)
    with pytest.raises(ConfigError, match="a simulate log does not grow"):
        watch_days(run, NAME, 1.0, threading.Event())
