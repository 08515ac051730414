"""What training leaves in an object store, which can neither rename nor append: the same."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from rayrank.errors import TrainingError
from rayrank.storage import AnyPath, place, write_whole
from rayrank.train import checkpoint as ckpt
from rayrank.train import journal
from rayrank.train.attempt import begin_attempt, ensure_newest, newest_attempt
from rayrank.train.finished import CHECKPOINTS, JOURNAL, finished_checkpoint, write_finished
from rayrank.train.journal import EpochLine, Journal, NoteLine, StepLine, Story, read_story

from .checkpoints import newest_sound, shard_rows, snapshot_of, write_rank


@pytest.fixture
def folder(s3_bucket: str) -> AnyPath:
    return place(f"{s3_bucket}/{uuid.uuid4().hex}")


def took(step: int, attempt: int = 1) -> StepLine:
    counts = (10, 100, 5)
    return StepLine(step, step // 4, step, 9, 0.1, 0.01, attempt, 1 / step, *counts, 0.0, 1.0, 1.0)


def test_a_journal_grows_in_parts_and_is_taken_over(
    folder: AnyPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "LINES_PER_PART", 2)
    assert read_story(folder) == Story([], [], [])
    first = Journal(folder, attempt=1, steps=0, epochs=0)
    note, epoch = NoteLine(5, 1, "für alle"), EpochLine(4, 0, {"click": {"auc": 0.5}})
    for line in (took(1), took(2), took(3), took(4), epoch, note, took(5)):
        first.write(line)
        first.flush()
        story = read_story(folder)
        assert line in (*story.steps, *story.epochs, *story.notes)
    assert story == Story([took(step) for step in range(1, 6)], [epoch], [note])
    assert [path.name for path in sorted(folder.iterdir(), key=str)] == [  # type: ignore[attr-defined]
        f"000001-{part:06d}.jsonl" for part in range(4)
    ]

    second = Journal(folder, attempt=2, steps=3, epochs=0)
    assert read_story(folder) == Story([took(1), took(2), took(3)], [], [note])
    second.write(took(4, attempt=2))
    second.flush()
    first.write(took(6))  # nobody reads this
    first.flush()
    assert read_story(folder).steps == [took(1), took(2), took(3), took(4, attempt=2)]


def test_attempts_race_for_numbers_and_none_is_given_twice(folder: AnyPath) -> None:
    with ThreadPoolExecutor(6) as pool:
        numbers = list(pool.map(begin_attempt, [folder] * 12))
    assert sorted(numbers) == list(range(1, 13))
    assert newest_attempt(folder) == 12
    ensure_newest(folder, 12)
    with pytest.raises(TrainingError, match="attempt 12 has taken over from attempt 11"):
        ensure_newest(folder, 11)


def saved(folder: AnyPath, step: int) -> AnyPath:
    """A checkpoint of two ranks, of which the last two are kept."""
    position = ckpt.Position(epoch=1, batches=7, step=step, world_size=2, attempt=3)
    checkpoint = ckpt.checkpoint_folder(folder, position)
    hashes: ckpt.Hashes = {}
    for rank in range(2):
        rows = shard_rows(
            torch.tensor([rank]), torch.full((1, 4), float(step + rank)), torch.ones(1)
        )
        hashes |= write_rank(checkpoint, rank, snapshot_of({"item": rows}))
    dense = {"w": torch.full((3,), float(step))}
    state = ckpt.State(position, None, table_steps=step)
    ckpt.publish(checkpoint, state, dense, {"w/step": torch.ones(())}, hashes, ckpt.Keep(2))
    return checkpoint


def test_checkpoints_are_kept_verified_and_read_back(folder: AnyPath) -> None:
    checkpoints = folder / CHECKPOINTS
    write_whole(checkpoints / "step-00000002.000001" / "dense.safetensors", b"half of")
    older, newer = [saved(checkpoints, step) for step in (1, 2, 3)][1:]
    assert [path.name for path in ckpt.complete(checkpoints)] == [older.name, newer.name]
    assert {path.name for path in checkpoints.iterdir()} == {older.name, newer.name}
    sound, faults = newest_sound(checkpoints)
    assert sound is not None
    assert (str(sound), faults) == (str(newer), [])
    assert ckpt.read_state(sound).position == ckpt.Position(1, 7, 3, 2, 3)
    dense, optimizer = ckpt.read_dense(sound)
    assert dense["w"].tolist() == [3.0] * 3
    assert optimizer["w/step"] == 1
    parts = list(ckpt.read_parts(sound))
    assert [(part["item"].keys.tolist(), part["item"].vectors.tolist()) for part in parts] == [
        ([0], [[3.0] * 4]),
        ([1], [[4.0] * 4]),
    ]
    assert torch.equal(ckpt.read_random(sound, 1)["cpu"], torch.get_rng_state())

    damaged = newer / "tables-1-000000.safetensors"
    write_whole(damaged, damaged.read_bytes()[:-1] + b"\x07")
    sound, faults = newest_sound(checkpoints)
    assert str(sound) == str(older)
    assert faults == [f"{damaged}: its content is not what manifest.json says"]


def test_a_run_is_finished_with_the_checkpoint_it_names(folder: AnyPath) -> None:
    Journal(folder / JOURNAL, attempt=1, steps=0, epochs=0).write(took(4))
    with pytest.raises(TrainingError, match="not finished"):
        finished_checkpoint(folder)
    checkpoint = saved(folder / CHECKPOINTS, 4)
    write_finished(folder, checkpoint)
    assert str(finished_checkpoint(folder)) == str(checkpoint)
