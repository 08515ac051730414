"""What training says of itself: a line per step and per epoch, and which of them a resume keeps."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rayrank.train import journal
from rayrank.train.finished import EVENTS, JOURNAL
from rayrank.train.journal import EpochLine, NoteLine, Reader
from rayrank.train.observed import Observed
from rayrank.train.optimize import StepFacts
from rayrank.train.progress import Progress
from rayrank.train.running_auc import BINS

from .telling import at, read_story, steps_of, take, telling, trained
from .test_events import shown

EPOCHS = [
    EpochLine(step=2, epoch=0, metrics={"click": {"auc": 0.2}}),
    EpochLine(step=4, epoch=1, metrics={"click": {"auc": 0.4}}),
]


def test_steps_and_epochs_are_read_back(tmp_path: Path) -> None:
    assert read_story(tmp_path) == journal.Story([], [], [])
    trained(tmp_path)
    story = read_story(tmp_path)
    third: dict[str, Any] = asdict(story.steps[2])
    assert all(line.seconds > 0 for line in story.steps)
    # Of two ranks, each with a device that could do 1e9 a second.
    assert third.pop("mfu") == pytest.approx(18e6 / (third.pop("seconds") * 2 * 1e9))
    assert third == {
        "step": 3,
        "epoch": 1,
        "batches": 6,
        "of": 8,
        "waited_s": 0.03,
        "attempt": 1,
        "loss": 1 / 3,
        "candidates": 30,
        "tokens": 300,
        "users": 3,
        "auxiliary": 3 / 8,
        "gradient_norm": 2.0,
        "loss_scale": 1.0,
        "auc": {"click": 1.0},
        "flops": 18e6,
        "balance": 1.75,
        "phases": {"forward": 0.25, "backward": 0.5},
        "tables": {
            "item": {
                "ids": 150,
                "load": 0.15,
                "bytes": 1500,
                "hit_rate": 0.9,
                "inserted": 10,
                "refused": 0,
                "waiting": 5,
                "evicted": 0,
            }
        },
    }
    assert [line.step for line in story.steps] == [1, 2, 3, 4]
    assert story.epochs == EPOCHS
    assert story.notes == []


def test_a_line_can_be_read_within_a_moment_of_its_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 0 < journal.FLUSH_S <= 5
    monkeypatch.setattr(journal, "FLUSH_S", 0.0)
    with telling(tmp_path, at(0)) as progress:
        take(progress, at(1))
        assert steps_of(tmp_path) == [1]


def test_lines_that_wait_come_with_a_note_or_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the end is an error."""
    monkeypatch.setattr(journal, "FLUSH_S", 3600.0)

    def fail_after_two_steps() -> None:
        with telling(tmp_path, at(0)) as progress:
            take(progress, at(1))
            assert steps_of(tmp_path) == []
            progress.note(at(1), "look at this")
            assert steps_of(tmp_path) == [1]
            assert read_story(tmp_path).notes == [NoteLine(step=1, attempt=1, text="look at this")]
            take(progress, at(2))
            assert steps_of(tmp_path) == [1]
            raise OSError("whatever")

    with pytest.raises(OSError, match="whatever"):
        fail_after_two_steps()
    assert steps_of(tmp_path) == [1, 2]


def test_a_part_that_is_being_written_is_not_read(tmp_path: Path) -> None:
    trained(tmp_path)
    (part,) = (tmp_path / JOURNAL).iterdir()
    assert part.name == "000001-000000.jsonl"
    part.with_name(f".{part.name}.writing-01234567").write_text('{"step": 5, "ep')
    assert steps_of(tmp_path) == [1, 2, 3, 4]


def test_a_long_story_comes_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that is taken over, whose parts are then shared out anew."""
    monkeypatch.setattr(journal, "LINES_PER_PART", 2)
    trained(tmp_path)
    parts = sorted(path.name for path in (tmp_path / JOURNAL).iterdir())
    assert parts == [f"000001-{part:06d}.jsonl" for part in range(3)]
    assert steps_of(tmp_path) == [1, 2, 3, 4]
    assert read_story(tmp_path).epochs == EPOCHS
    with telling(tmp_path, at(4, epoch=1, attempt=2)) as progress:
        take(progress, at(5, epoch=2, attempt=2))
    assert steps_of(tmp_path) == [1, 2, 3, 4, 5]
    assert read_story(tmp_path).epochs == EPOCHS[:1]


def test_a_resume_drops_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    trained(tmp_path)
    with telling(tmp_path, at(2, epoch=1, attempt=2)) as progress:
        assert steps_of(tmp_path) == [1, 2]
        assert read_story(tmp_path).epochs == EPOCHS[:1]
        take(progress, at(3, epoch=1, attempt=2))
    steps = read_story(tmp_path).steps
    assert [(line.step, line.attempt) for line in steps] == [(1, 1), (2, 1), (3, 2)]


def test_a_resume_keeps_every_note(tmp_path: Path) -> None:
    with telling(tmp_path, at(4)) as progress:
        progress.note(at(4), "of the first")
    with telling(tmp_path, at(2, attempt=2)) as progress:
        progress.note(at(2, attempt=2), "of the second")
    assert read_story(tmp_path).notes == [
        NoteLine(step=4, attempt=1, text="of the first"),
        NoteLine(step=2, attempt=2, text="of the second"),
    ]


def test_an_attempt_that_was_taken_over_cannot_add_to_the_story(tmp_path: Path) -> None:
    with telling(tmp_path, at(0)) as late:
        take(late, at(1))
        late.note(at(1), "still here")
        with telling(tmp_path, at(1, attempt=2)) as progress:
            take(progress, at(2, attempt=2))
        take(late, at(2))
        late.note(at(2), "nobody reads this")
    story = read_story(tmp_path)
    assert [(line.step, line.attempt) for line in story.steps] == [(1, 1), (2, 2)]
    assert [note.text for note in story.notes] == ["still here"]


def test_an_epoch_is_told_once_though_its_last_step_was_its_checkpoint(tmp_path: Path) -> None:
    """A checkpoint of an epoch's last step is older than the epoch's validation."""
    trained(tmp_path)
    with telling(tmp_path, at(2, epoch=0, attempt=2)) as progress:
        progress.epoch(at(2, epoch=0, attempt=2), {"click": {"auc": 0.2}})
    assert [line.epoch for line in read_story(tmp_path).epochs] == [0]


def test_a_resume_without_a_checkpoint_starts_over(tmp_path: Path) -> None:
    trained(tmp_path)
    with telling(tmp_path, at(0, attempt=2)):
        pass
    assert read_story(tmp_path) == journal.Story([], [], [])


def test_only_rank_0_writes(tmp_path: Path) -> None:
    trained(tmp_path, rank=1)
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_shows_what_the_journal_tells(tmp_path: Path) -> None:
    """After a resume too, and nothing of what a line does not know."""
    trained(tmp_path)
    with telling(tmp_path, at(2, epoch=1, attempt=2)) as progress:
        take(progress, at(3, epoch=1, attempt=2), step=6)
        progress.epoch(at(3, epoch=1, attempt=2), {"click": {"auc": 0.75}})
    folder = tmp_path / EVENTS
    assert dict(shown(folder)) == pytest.approx({1: 1.0, 2: 1 / 2, 3: 1 / 6})
    assert shown(folder, "auc/click") == [(1, 1.0), (2, 1.0), (3, 1.0)]
    assert shown(folder, "speed/balance") == [(1, 1.25), (2, 1.5), (3, 2.5)]
    assert shown(folder, "tables/item/ids") == [(1, 50), (2, 100), (3, 300)]
    assert shown(folder, "seconds/backward") == [(1, 0.5), (2, 0.5), (3, 0.5)]
    assert shown(folder, "later/click/auc") == [(2, pytest.approx(0.2)), (3, 0.75)]
    lines = read_story(tmp_path).steps
    rates = [line.tokens / line.seconds for line in lines]
    assert [value for _, value in shown(folder, "speed/tokens_per_s")] == pytest.approx(rates)
    assert [step for step, _ in shown(folder, "auxiliary")] == [1, 2, 3]


def test_what_is_not_known_is_not_told(tmp_path: Path) -> None:
    """A model that tells no FLOPs, a device of which no peak is known, a task with one class."""
    counts = np.zeros((1, 2, BINS))
    observed = Observed(counts, None, balance=1.0)
    facts = StepFacts(0.5, 10, 100, 1, 0.0, 1.0, 1.0, observed, {})
    with Progress(tmp_path, 0, at(0), total=8, tasks=["click"], peak_flops=None) as progress:
        progress.step(at(1), 2, facts, 0.01, {})
    (line,) = read_story(tmp_path).steps
    assert (line.flops, line.mfu, line.auc, line.phases) == (None, None, {}, {})
    for name in ("speed/mfu", "speed/tflops_per_s", "auc/click", "auxiliary"):
        assert shown(tmp_path / EVENTS, name) == []
    assert shown(tmp_path / EVENTS, "speed/balance") == [(1, 1.0)]


def test_full_parts_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a new attempt's anew."""
    monkeypatch.setattr(journal, "LINES_PER_PART", 2)
    trained(tmp_path)
    reader = Reader(tmp_path / JOURNAL)
    before = reader.read()
    assert before == read_story(tmp_path)
    (tmp_path / JOURNAL / "000001-000000.jsonl").write_text("not read again")
    assert reader.read() == before
    (tmp_path / JOURNAL / "000001-000000.jsonl").write_text("")
    with telling(tmp_path, at(4, epoch=1, attempt=2)) as progress:
        take(progress, at(5, epoch=2, attempt=2))
    assert reader.read() == read_story(tmp_path)
    assert [line.step for line in reader.read().steps][-1] == 5


def test_a_store_that_fails_for_a_while_costs_nothing_that_was_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "FLUSH_S", 0.0)
    monkeypatch.setattr(journal, "LINES_PER_PART", 2)
    story, away = tmp_path / JOURNAL, tmp_path / "away"
    with telling(tmp_path, at(0)) as progress:
        take(progress, at(1))
        story.rename(away)
        story.write_text("in the way")
        for step in (2, 3, 4):
            take(progress, at(step))
        progress.flush()
        story.unlink()
        away.rename(story)
        take(progress, at(5))
    assert steps_of(tmp_path) == [1, 2, 3, 4, 5]
    (note,) = read_story(tmp_path).notes
    assert note.text.startswith("from step 2 on the store failed (")
    assert JOURNAL in note.text
    assert [step for step, _ in shown(tmp_path / EVENTS, "loss")] == [1, 2, 3, 4, 5]
