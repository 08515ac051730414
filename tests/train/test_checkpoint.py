"""Checkpoints: what is written is read back, the newest are kept, a changed one is named."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from rayrank.embedding.tables import ShardRows
from rayrank.errors import CheckpointError
from rayrank.train import checkpoint as ckpt

from .checkpoints import flip_a_byte, newest_sound, save

FILES = [
    "dense.safetensors",
    "optimizer.safetensors",
    "random-0.safetensors",
    "random-1.safetensors",
    "state.json",
    "tables-0.safetensors",
    "tables-1.safetensors",
]


def rows_of(rank: int) -> dict[str, ShardRows]:
    """Two tables; the second holds nothing on rank 1."""
    count = 2 if rank == 0 else 0
    return {
        "item": ShardRows(
            torch.tensor([rank, -rank - 9]),
            torch.full((2, 4), rank + 0.5),
            torch.tensor([1.0, 2.0]) + rank,
        ),
        "tag/odd": ShardRows(torch.arange(count), torch.ones(count, 8), torch.arange(float(count))),
    }


def saved(folder: Path, step: int, keep: int = 2, attempt: int = 1) -> Path:
    dense = {"w": torch.full((3,), float(step))}
    return save(folder, step, dense, [rows_of(0), rows_of(1)], keep=keep, attempt=attempt)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_the_newest_are_kept_and_no_others(tmp_path: Path, keep: int) -> None:
    # Numbers of other lengths sort as numbers: 9 before 10, 99 before 100.
    steps = [8, 9, 10, 99, 100]
    for done, step in enumerate(steps, 1):
        newest = saved(tmp_path, step, keep)
        assert newest.name == f"step-{step:08d}.000001"
        assert names(tmp_path) == [f"step-{s:08d}.000001" for s in steps[:done][-keep:]]
        assert [path.name for path in ckpt.complete(tmp_path)] == names(tmp_path)
        assert newest_sound(tmp_path) == (newest, [])
        for kept in tmp_path.iterdir():
            ckpt.verify(kept)


def test_a_step_that_a_later_attempt_saves_again_lies_beside_its_first_save(tmp_path: Path) -> None:
    first = saved(tmp_path, 4)
    again = save(tmp_path, 4, {"w": torch.tensor([-1.0])}, [rows_of(0)], attempt=2)
    assert names(tmp_path) == ["step-00000004.000001", "step-00000004.000002"]
    assert newest_sound(tmp_path) == (again, [])
    assert ckpt.read_dense(again)[0]["w"].tolist() == [-1.0]
    assert ckpt.read_state(again).position.world_size == 1
    assert ckpt.read_dense(first)[0]["w"].tolist() == [4.0] * 3
    assert ckpt.read_state(first).position.world_size == 2


@pytest.mark.parametrize("step", [3, 4, 5])
def test_what_dead_attempts_were_writing_is_cleared_away(tmp_path: Path, step: int) -> None:
    (tmp_path / f"step-{step:08d}.000001").mkdir(parents=True)
    (tmp_path / f"step-{step:08d}.000001" / "dense.safetensors").write_bytes(b"half of")
    saved(tmp_path, 4, attempt=2)
    assert names(tmp_path) == ["step-00000004.000002"]


def test_one_without_a_manifest_is_no_checkpoint(tmp_path: Path) -> None:
    assert newest_sound(tmp_path) == (None, [])
    older, newer = saved(tmp_path, 1), saved(tmp_path, 2)
    (newer / ckpt.MANIFEST).unlink()
    assert ckpt.complete(tmp_path) == [older]
    assert newest_sound(tmp_path) == (older, [])
    with pytest.raises(CheckpointError, match=r"step-00000002.000001: not a complete checkpoint"):
        ckpt.verify(newer)


def test_everything_is_read_back(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path, 12)
    assert asdict(ckpt.read_state(checkpoint).position) == {
        "epoch": 1,
        "batches": 7,
        "step": 12,
        "world_size": 2,
        "attempt": 1,
    }
    dense, optimizer = ckpt.read_dense(checkpoint)
    assert dense["w"].tolist() == [12.0] * 3
    assert optimizer.keys() == {"w/step"}
    assert optimizer["w/step"].item() == 1.0
    rows = ckpt.read_rows(checkpoint)
    assert rows.keys() == {"item", "tag/odd"}
    for rank in (0, 1):
        for name, expected in rows_of(rank).items():
            for field, value in vars(expected).items():
                assert torch.equal(getattr(rows[name][rank], field), value)
        torch.manual_seed(1200 + rank)
        assert torch.equal(ckpt.read_random(checkpoint, rank)["cpu"], torch.get_rng_state())


def test_every_file_is_in_the_manifest(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path, 1)
    assert names(checkpoint) == sorted([*FILES, ckpt.MANIFEST])
    assert sorted(json.loads((checkpoint / ckpt.MANIFEST).read_text())) == FILES


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_changed_or_went_is_named(tmp_path: Path, name: str) -> None:
    checkpoint = saved(tmp_path, 1)
    ckpt.verify(checkpoint)
    flip_a_byte(checkpoint / name)
    with pytest.raises(CheckpointError, match=f"{name}: its content is not what"):
        ckpt.verify(checkpoint)
    (checkpoint / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name}: missing"):
        ckpt.verify(checkpoint)


@pytest.mark.parametrize("name", FILES)
def test_the_next_older_one_stands_in_for_a_damaged_one(tmp_path: Path, name: str) -> None:
    oldest, older, newest = (saved(tmp_path, step, keep=3) for step in (1, 2, 3))
    flip_a_byte(newest / name)
    (older / name).unlink()
    sound, faults = newest_sound(tmp_path)
    assert sound == oldest
    assert [fault.partition(": ")[0] for fault in faults] == [f"{newest / name}", f"{older / name}"]
    (oldest / ckpt.MANIFEST).write_text("{")
    sound, faults = newest_sound(tmp_path)
    assert sound is None
    assert faults[2].startswith(f"{oldest / ckpt.MANIFEST}: not JSON")


def test_a_rank_reads_its_own_rows_or_where_they_are_dealt_anew_all(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path, 1)
    assert list(ckpt.read_rows(checkpoint, ckpt.read_by(1, 2, 2))["item"][0].keys) == [1, -10]
    assert [len(of) for of in ckpt.read_rows(checkpoint, ckpt.read_by(1, 3, 2)).values()] == [2, 2]
    flip_a_byte(checkpoint / "tables-1.safetensors")
    # Who does not read it does not see it.
    assert ckpt.fault_of(checkpoint, 0, 2) is None
    for rank, world_size in ((1, 2), (0, 1), (0, 3)):
        fault = ckpt.fault_of(checkpoint, rank, world_size)
        assert fault is not None
        assert "tables-1.safetensors" in fault
    flip_a_byte(checkpoint / "random-0.safetensors")
    assert ckpt.fault_of(checkpoint, 0, 2) is not None


def test_the_best_one_is_kept_beside_the_newest(tmp_path: Path) -> None:
    for step, quality in enumerate((None, 0.5, 0.7, 0.6, None, 0.7), 1):
        dense = {"w": torch.ones(1)}
        save(tmp_path, step, dense, [rows_of(0)], keep=1, best=True, quality=quality)
    assert names(tmp_path) == ["step-00000003.000001", "step-00000006.000001"]
    assert ckpt.best(ckpt.complete(tmp_path)) == tmp_path / "step-00000003.000001"
    save(tmp_path, 7, {"w": torch.ones(1)}, [rows_of(0)], keep=1)
    assert names(tmp_path) == ["step-00000007.000001"]
    assert ckpt.best(ckpt.complete(tmp_path)) is None


def test_a_random_state_goes_on_where_it_was() -> None:
    cpu = torch.device("cpu")
    torch.manual_seed(11)
    state = ckpt.random_state(cpu)
    drawn = torch.rand(3)
    torch.rand(100)
    # One that was drawn on a GPU too, and is taken up where there is none.
    ckpt.set_random_state(state | {"cuda": torch.zeros(16, dtype=torch.uint8)}, cpu)
    assert torch.equal(torch.rand(3), drawn)


def test_rows_go_to_a_device_whole() -> None:
    rows = ShardRows(torch.arange(3), torch.ones(3, 2), torch.zeros(3))
    moved = rows.to(torch.device("meta"))
    assert [value.device.type for value in vars(moved).values()] == ["meta"] * 3
    assert [value.shape for value in vars(moved).values()] == [(3,), (3, 2), (3,)]
