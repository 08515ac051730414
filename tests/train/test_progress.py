"""What training says of itself: a line per step and per epoch, and which of them a resume keeps."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from rayrank.train import journal
from rayrank.train.checkpoint import Position
from rayrank.train.journal import EpochLine, NoteLine, read_story
from rayrank.train.optimize import StepFacts
from rayrank.train.progress import Progress

EPOCHS = [
    EpochLine(step=2, epoch=0, metrics={"click": {"auc": 0.2}}),
    EpochLine(step=4, epoch=1, metrics={"click": {"auc": 0.4}}),
]


def at(step: int, epoch: int = 0, attempt: int = 1) -> Position:
    return Position(epoch=epoch, batches=2 * step, step=step, world_size=2, attempt=attempt)


def facts(step: int) -> StepFacts:
    return StepFacts(
        loss=1 / step,
        candidates=10 * step,
        tokens=100 * step,
        users=step,
        auxiliary=step / 8,
        gradient_norm=2.0,
        loss_scale=1.0,
    )


def trained(folder: Path, rank: int = 0) -> None:
    """Four steps, an epoch's end after each two."""
    with Progress(folder, rank, at(0), total=8) as progress:
        for step in range(1, 5):
            progress.step(at(step, epoch=(step - 1) // 2), 2 * step, facts(step), step / 100)
            if step % 2 == 0:
                progress.epoch(at(step, epoch=step // 2 - 1), {"click": {"auc": step / 10}})


def steps_of(folder: Path) -> list[int]:
    return [line.step for line in read_story(folder).steps]


def test_steps_and_epochs_are_read_back(tmp_path: Path) -> None:
    assert read_story(tmp_path) == journal.Story([], [], [])
    trained(tmp_path)
    story = read_story(tmp_path)
    third: dict[str, Any] = asdict(story.steps[2])
    assert all(line.seconds > 0 for line in story.steps)
    del third["seconds"]
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
    }
    assert [line.step for line in story.steps] == [1, 2, 3, 4]
    assert story.epochs == EPOCHS
    assert story.notes == []


def test_a_line_can_be_read_within_a_moment_of_its_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 0 < journal.FLUSH_S <= 5
    monkeypatch.setattr(journal, "FLUSH_S", 0.0)
    with Progress(tmp_path, 0, at(0), total=8) as progress:
        progress.step(at(1), 2, facts(1), 0.01)
        assert steps_of(tmp_path) == [1]


def test_lines_that_wait_come_with_a_note_or_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the end is an error."""
    monkeypatch.setattr(journal, "FLUSH_S", 3600.0)

    def fail_after_two_steps() -> None:
        with Progress(tmp_path, 0, at(0), total=8) as progress:
            progress.step(at(1), 2, facts(1), 0.01)
            assert steps_of(tmp_path) == []
            progress.note(at(1), "look at this")
            assert steps_of(tmp_path) == [1]
            assert read_story(tmp_path).notes == [NoteLine(step=1, attempt=1, text="look at this")]
            progress.step(at(2), 4, facts(2), 0.01)
            assert steps_of(tmp_path) == [1]
            raise OSError("whatever")

    with pytest.raises(OSError, match="whatever"):
        fail_after_two_steps()
    assert steps_of(tmp_path) == [1, 2]


def test_a_part_that_is_being_written_is_not_read(tmp_path: Path) -> None:
    trained(tmp_path)
    (part,) = tmp_path.iterdir()
    assert part.name == "000001-000000.jsonl"
    part.with_name(f".{part.name}.writing-01234567").write_text('{"step": 5, "ep')
    assert steps_of(tmp_path) == [1, 2, 3, 4]


def test_a_long_story_comes_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that is taken over, whose parts are then shared out anew."""
    monkeypatch.setattr(journal, "LINES_PER_PART", 2)
    trained(tmp_path)
    parts = sorted(path.name for path in tmp_path.iterdir())
    assert parts == [f"000001-{part:06d}.jsonl" for part in range(3)]
    assert steps_of(tmp_path) == [1, 2, 3, 4]
    assert read_story(tmp_path).epochs == EPOCHS
    with Progress(tmp_path, 0, at(4, epoch=1, attempt=2), total=8) as progress:
        progress.step(at(5, epoch=2, attempt=2), 8, facts(5), 0.01)
    assert steps_of(tmp_path) == [1, 2, 3, 4, 5]
    assert read_story(tmp_path).epochs == EPOCHS[:1]


def test_a_resume_drops_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    trained(tmp_path)
    with Progress(tmp_path, 0, at(2, epoch=1, attempt=2), total=8) as progress:
        assert steps_of(tmp_path) == [1, 2]
        assert read_story(tmp_path).epochs == EPOCHS[:1]
        progress.step(at(3, epoch=1, attempt=2), 6, facts(3), 0.01)
    steps = read_story(tmp_path).steps
    assert [(line.step, line.attempt) for line in steps] == [(1, 1), (2, 1), (3, 2)]


def test_a_resume_keeps_every_note(tmp_path: Path) -> None:
    with Progress(tmp_path, 0, at(4), total=8) as progress:
        progress.note(at(4), "of the first")
    with Progress(tmp_path, 0, at(2, attempt=2), total=8) as progress:
        progress.note(at(2, attempt=2), "of the second")
    assert read_story(tmp_path).notes == [
        NoteLine(step=4, attempt=1, text="of the first"),
        NoteLine(step=2, attempt=2, text="of the second"),
    ]


def test_an_attempt_that_was_taken_over_cannot_add_to_the_story(tmp_path: Path) -> None:
    with Progress(tmp_path, 0, at(0), total=8) as late:
        late.step(at(1), 2, facts(1), 0.01)
        late.note(at(1), "still here")
        with Progress(tmp_path, 0, at(1, attempt=2), total=8) as progress:
            progress.step(at(2, attempt=2), 4, facts(2), 0.01)
        late.step(at(2), 4, facts(3), 0.01)
        late.note(at(2), "nobody reads this")
    story = read_story(tmp_path)
    assert [(line.step, line.attempt) for line in story.steps] == [(1, 1), (2, 2)]
    assert [note.text for note in story.notes] == ["still here"]


def test_an_epoch_is_told_once_though_its_last_step_was_its_checkpoint(tmp_path: Path) -> None:
    """A checkpoint of an epoch's last step is older than the epoch's validation."""
    trained(tmp_path)
    with Progress(tmp_path, 0, at(2, epoch=0, attempt=2), total=8) as progress:
        progress.epoch(at(2, epoch=0, attempt=2), {"click": {"auc": 0.2}})
    assert [line.epoch for line in read_story(tmp_path).epochs] == [0]


def test_a_resume_without_a_checkpoint_starts_over(tmp_path: Path) -> None:
    trained(tmp_path)
    with Progress(tmp_path, 0, at(0, attempt=2), total=8):
        pass
    assert read_story(tmp_path) == journal.Story([], [], [])


def test_only_rank_0_writes(tmp_path: Path) -> None:
    trained(tmp_path, rank=1)
    assert list(tmp_path.iterdir()) == []
