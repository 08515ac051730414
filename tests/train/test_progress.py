"""What training says of itself: a line per step and per epoch, and which of them a resume keeps."""

from pathlib import Path
from typing import Any

from rayrank.train.checkpoint import Position
from rayrank.train.optimize import StepFacts
from rayrank.train.progress import EPOCHS, STEPS, Progress, read_progress


def at(step: int, epoch: int = 0, attempt: int = 1) -> Position:
    return Position(epoch=epoch, batches=2 * step, step=step, world_size=2, attempt=attempt)


def facts(step: int) -> StepFacts:
    return StepFacts(loss=1 / step, candidates=10 * step, tokens=100 * step, users=step)


def trained(folder: Path, rank: int = 0) -> None:
    """Four steps, an epoch's end after each two."""
    with Progress(folder, rank, at(0), total=8) as progress:
        for step in range(1, 5):
            progress.step(at(step, epoch=(step - 1) // 2), 2 * step, facts(step))
            if step % 2 == 0:
                progress.epoch(at(step, epoch=step // 2 - 1), {"click": {"auc": step / 10}})


def without_seconds(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    assert all(line.pop("seconds") > 0 for line in lines)
    return lines


def test_steps_and_epochs_are_read_back(tmp_path: Path) -> None:
    assert read_progress(tmp_path / STEPS) == []
    trained(tmp_path)
    steps = without_seconds(read_progress(tmp_path / STEPS))
    assert steps[2] == {
        "step": 3,
        "epoch": 1,
        "batches": 6,
        "of": 8,
        "attempt": 1,
        "loss": 1 / 3,
        "candidates": 30,
        "tokens": 300,
        "users": 3,
    }
    assert [line["step"] for line in steps] == [1, 2, 3, 4]
    assert read_progress(tmp_path / EPOCHS) == [
        {"step": 2, "epoch": 0, "metrics": {"click": {"auc": 0.2}}},
        {"step": 4, "epoch": 1, "metrics": {"click": {"auc": 0.4}}},
    ]


def test_a_line_can_be_read_as_soon_as_its_step_is_taken(tmp_path: Path) -> None:
    with Progress(tmp_path, 0, at(0), total=8) as progress:
        progress.step(at(1), 2, facts(1))
        assert [line["step"] for line in read_progress(tmp_path / STEPS)] == [1]


def test_a_line_that_is_being_written_is_not_read(tmp_path: Path) -> None:
    trained(tmp_path)
    with (tmp_path / STEPS).open("a") as file:
        file.write('{"step": 5, "ep')
    assert [line["step"] for line in read_progress(tmp_path / STEPS)] == [1, 2, 3, 4]


def test_a_resume_drops_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    trained(tmp_path)
    with Progress(tmp_path, 0, at(2, epoch=1), total=8) as progress:
        assert [line["step"] for line in read_progress(tmp_path / STEPS)] == [1, 2]
        assert [line["step"] for line in read_progress(tmp_path / EPOCHS)] == [2]
        progress.step(at(3, epoch=1, attempt=2), 6, facts(3))
    steps = read_progress(tmp_path / STEPS)
    assert [(line["step"], line["attempt"]) for line in steps] == [(1, 1), (2, 1), (3, 2)]


def test_an_epoch_is_told_once_though_its_last_step_was_its_checkpoint(tmp_path: Path) -> None:
    """A checkpoint of an epoch's last step is older than the epoch's validation."""
    trained(tmp_path)
    with Progress(tmp_path, 0, at(2, epoch=0), total=8) as progress:
        progress.epoch(at(2, epoch=0), {"click": {"auc": 0.2}})
    assert [line["epoch"] for line in read_progress(tmp_path / EPOCHS)] == [0]


def test_a_resume_without_a_checkpoint_starts_over(tmp_path: Path) -> None:
    trained(tmp_path)
    with Progress(tmp_path, 0, at(0), total=8):
        pass
    assert read_progress(tmp_path / STEPS) == read_progress(tmp_path / EPOCHS) == []


def test_only_rank_0_writes(tmp_path: Path) -> None:
    trained(tmp_path, rank=1)
    assert list(tmp_path.iterdir()) == []
