"""Checkpoints are written while training goes on, and a store that fails costs one of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from rayrank.errors import TrainingError
from rayrank.train import checkpoint as ckpt
from rayrank.train import saver
from rayrank.train.attempt import begin_attempt
from rayrank.train.finished import ATTEMPTS, CHECKPOINTS
from rayrank.train.saver import Outcome, Saver, Snapshot

from .checkpoints import shard_rows, snapshot_of


@pytest.fixture(autouse=True)
def alone(tmp_path: Path) -> Iterator[None]:
    """A world of one."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def snapshot(step: int) -> Snapshot:
    return Snapshot(
        ckpt.Position(0, step, step, world_size=1, attempt=1),
        snapshot_of({"item": shard_rows(torch.tensor([step]), torch.ones(1, 2), torch.ones(1))}, 7),
        ckpt.random_state(torch.device("cpu")),
        {"w": torch.full((2,), float(step))},
        {"w/step": torch.ones(())},
        quality=None,
    )


def written(folder: Path) -> list[str]:
    return [path.name for path in ckpt.complete(folder / CHECKPOINTS)]


def test_what_is_saved_is_there_after_a_wait(tmp_path: Path) -> None:
    run = tmp_path / "run"
    begin_attempt(run / ATTEMPTS)
    saving = Saver(run, ckpt.Keep(2))
    assert saving.wait() is None
    for step in (1, 2, 3):
        saving.save(snapshot(step))
        assert saving.wait() == Outcome(step, None)
    assert written(run) == ["step-00000002.000001", "step-00000003.000001"]
    checkpoint = run / CHECKPOINTS / "step-00000003.000001"
    assert ckpt.fault_of(checkpoint, 0, 1) is None
    assert ckpt.read_dense(checkpoint)[0]["w"].tolist() == [3.0, 3.0]
    assert ckpt.read_rows(checkpoint)["item"].keys.tolist() == [3]
    assert ckpt.read_state(checkpoint).table_steps == 7


def test_a_store_that_fails_is_named_and_the_next_one_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saver, "PAUSES_S", (0.0, 0.0))
    run = tmp_path / "run"
    begin_attempt(run / ATTEMPTS)
    saving = Saver(run, ckpt.Keep(2))
    saving.save(snapshot(1))
    saving.wait()
    # Where the next one's folder should be there is a file: nothing can be written below.
    (run / CHECKPOINTS / "step-00000002.000001").write_text("")
    saving.save(snapshot(2))
    outcome = saving.wait()
    assert outcome is not None
    assert outcome.step == 2
    assert outcome.fault is not None
    assert "rank 0: " in outcome.fault
    assert "step-00000002.000001" in outcome.fault
    assert written(run) == ["step-00000001.000001"]
    (run / CHECKPOINTS / "step-00000002.000001").unlink()
    saving.save(snapshot(3))
    assert saving.wait() == Outcome(3, None)
    assert written(run) == ["step-00000001.000001", "step-00000003.000001"]


def test_who_was_given_up_for_dead_publishes_nothing(tmp_path: Path) -> None:
    run = tmp_path / "run"
    begin_attempt(run / ATTEMPTS)
    saving = Saver(run, ckpt.Keep(2))
    begin_attempt(run / ATTEMPTS)
    saving.save(snapshot(1))
    with pytest.raises(TrainingError, match="attempt 2 has taken over from attempt 1"):
        saving.wait()
    assert written(run) == []


def test_a_store_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saver, "PAUSES_S", (0.0, 0.0))
    answers = iter([OSError("away"), OSError("away"), None])

    def write() -> str:
        if (answer := next(answers)) is not None:
            raise answer
        return "written"

    assert saver.tried(write) == "written"
