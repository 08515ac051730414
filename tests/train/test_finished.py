"""Only a training run that came to its end is taken for one."""

import json
from pathlib import Path

import pytest
from rayrank.errors import CheckpointError, TrainingError
from rayrank.train.finished import (
    CHECKPOINTS,
    FINISHED,
    JOURNAL,
    finished_checkpoint,
    is_finished,
)
from rayrank.train.journal import EpochLine, Journal, NoteLine, StepLine

from .checkpoints import finish_training, flip_a_byte, save


def took(step: int) -> StepLine:
    return StepLine(step, 0, 2 * step, 50, 0.1, 0.01, 1, 0.5, 10, 100, 5, 0.0, 1.0, 1.0)


def refusal(folder: Path) -> str:
    assert not is_finished(folder)
    with pytest.raises(TrainingError) as refused:
        finished_checkpoint(folder)
    return str(refused.value)


def test_one_that_never_began(tmp_path: Path) -> None:
    folder = tmp_path / "rankers" / "mtgr"
    resume = "run jobs/train.py, which resumes it"
    assert refusal(folder) == f"{folder}: not finished (not begun); {resume}"
    Journal(folder / JOURNAL, attempt=1, steps=0, epochs=0)
    assert refusal(folder) == f"{folder}: not finished (not begun); {resume}"


def test_one_that_was_cut_says_how_far_it_is(tmp_path: Path) -> None:
    """Though it has a checkpoint that is sound, and an epoch behind it."""
    save(tmp_path / CHECKPOINTS, 3, {}, [{}])
    journal = Journal(tmp_path / JOURNAL, attempt=1, steps=0, epochs=0)
    for step in (1, 2, 3):
        journal.write(took(step))
    journal.write(EpochLine(3, 0, {}))
    journal.write(NoteLine(3, 1, "a note"))
    journal.flush()
    assert "not finished (at 6 of 50 batches); run jobs/train.py" in refusal(tmp_path)


def test_the_last_checkpoint_is_the_one_that_was_named(tmp_path: Path) -> None:
    """Not the newest there is: a late writer's may lie beside it."""
    _, checkpoint = finish_training(tmp_path, "dlrm", step=12)
    save(tmp_path / CHECKPOINTS, 13, {}, [{}], attempt=2)
    assert is_finished(tmp_path)
    assert finished_checkpoint(tmp_path) == checkpoint
    assert json.loads((tmp_path / FINISHED).read_text()) == {"checkpoint": checkpoint.name}


@pytest.mark.parametrize("name", ["dense.safetensors", "tables-1-000000.safetensors", "state.json"])
def test_a_damaged_one_is_named(tmp_path: Path, name: str) -> None:
    _, checkpoint = finish_training(tmp_path, "dlrm")
    flip_a_byte(checkpoint / name)
    with pytest.raises(CheckpointError, match=f"{name}: its content is not what manifest.json"):
        finished_checkpoint(tmp_path)


def test_one_whose_checkpoint_is_gone_is_told(tmp_path: Path) -> None:
    _, checkpoint = finish_training(tmp_path, "dlrm")
    checkpoint.rename(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match=f"{checkpoint}: not a complete checkpoint"):
        finished_checkpoint(tmp_path)
