"""Checkpoints: what is written is read back, the newest are kept, a changed one is named."""

import itertools
import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from rayrank.embedding import snapshot
from rayrank.embedding.tables import ShardRows
from rayrank.errors import CheckpointError
from rayrank.train import checkpoint as ckpt

from .checkpoints import (
    flip_a_byte,
    newest_sound,
    rows_in,
    save,
    shard_rows,
    snapshot_of,
    write_rank,
)

FILES = [
    "dense.safetensors",
    "ids-0.safetensors",
    "ids-1.safetensors",
    "optimizer.safetensors",
    "random-0.safetensors",
    "random-1.safetensors",
    "state.json",
    "tables-0-000000.safetensors",
    "tables-0-000001.safetensors",
    "tables-1-000000.safetensors",
]


def rows_of(rank: int) -> dict[str, ShardRows]:
    """Two tables of two widths; the second holds nothing on rank 1."""
    count = 2 if rank == 0 else 0
    return {
        "item": shard_rows(
            torch.tensor([rank, -rank - 9]),
            torch.full((2, 4), rank + 0.5),
            torch.tensor([1.0, 2.0]) + rank,
        ),
        "tag/odd": shard_rows(
            torch.arange(count), torch.ones(count, 8), torch.arange(float(count))
        ),
    }


def saved(folder: Path, step: int, keep: int = 2, attempt: int = 1) -> Path:
    dense = {"w": torch.full((3,), float(step))}
    return save(folder, step, dense, [rows_of(0), rows_of(1)], keep=keep, attempt=attempt)


def assert_same(found: dict[str, ShardRows], expected: dict[str, ShardRows]) -> None:
    """Every field of every row, in their order."""
    assert found.keys() == expected.keys()
    for name, rows in expected.items():
        for field, value in vars(rows).items():
            assert torch.equal(getattr(found[name], field), value), (name, field)


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
    assert ckpt.read_state(checkpoint).table_steps == 12
    for rank in (0, 1):
        expected = {name: rows for name, rows in rows_of(rank).items() if len(rows.keys)}
        assert_same(rows_in(checkpoint, [rank]), expected)
        torch.manual_seed(1200 + rank)
        assert torch.equal(ckpt.read_random(checkpoint, rank)["cpu"], torch.get_rng_state())
    both = {name: ShardRows.joined([rows_of(rank)[name] for rank in (0, 1)]) for name in rows_of(0)}
    assert_same(ckpt.read_rows(checkpoint), both)


def test_rows_of_a_rank_come_in_parts_of_bounded_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two tables of one width, whose rows come in turn, and one of another."""
    monkeypatch.setattr(snapshot, "PART_BYTES", 3 * 4 * 4 + 15)  # of the first width three rows
    ranks: list[dict[str, ShardRows]] = []
    for rank in (0, 1):
        keys, row = torch.arange(40) - 100 * rank, torch.arange(1, 41, dtype=torch.int32)
        shared = shard_rows(keys, torch.randn(40, 4), torch.rand(40))
        other = shard_rows(torch.arange(5) + rank, torch.rand(5, 8), torch.rand(5))
        held = {"item": shared.at(row % 3 > 0), "tag/odd": shared.at(row % 3 == 0), "city": other}
        ranks.append(held)
    checkpoint = save(tmp_path, 1, {}, ranks)
    for rank, held in enumerate(ranks):
        parts = list(ckpt.read_parts(checkpoint, [rank]))
        assert len(parts) == 14 + 5  # of three rows of the first width, of one of the second
        for part in parts:
            assert sum(rows.vectors.nbytes for rows in part.values()) <= snapshot.PART_BYTES
        in_order = [sorted(torch.cat([of.row for of in p.values()]).tolist()) for p in parts]
        assert list(itertools.chain(*in_order)) == [*range(1, 41), *range(1, 6)]
        files = [name for name in names(checkpoint) if name.startswith(f"tables-{rank}-")]
        assert files == [f"tables-{rank}-{number:06d}.safetensors" for number in range(19)]
        assert_same(rows_in(checkpoint, [rank]), held)
    assert_same(
        ckpt.read_rows(checkpoint),
        {name: ShardRows.joined([held[name] for held in ranks]) for name in ranks[0]},
    )


def test_what_is_kept_of_ids_without_a_row_is_read_back(tmp_path: Path) -> None:
    hashes: ckpt.Hashes = {}
    position = ckpt.Position(epoch=0, batches=1, step=2, world_size=2, attempt=1)
    checkpoint = ckpt.checkpoint_folder(tmp_path, position)
    aside = [{"item/waiting/keys": torch.arange(rank + 2)} for rank in (0, 1)]
    for rank in (0, 1):
        tables = snapshot_of(rows_of(rank))._replace(aside=aside[rank])
        hashes |= write_rank(checkpoint, rank, tables)
    ckpt.publish(checkpoint, ckpt.State(position, None, 7), {}, {}, hashes, ckpt.Keep(1))
    found = list(ckpt.read_aside(checkpoint))
    assert [{name: of.tolist() for name, of in told.items()} for told in found] == [
        {"item/waiting/keys": [0, 1]},
        {"item/waiting/keys": [0, 1, 2]},
    ]
    (own,) = ckpt.read_aside(checkpoint, [1])
    assert own["item/waiting/keys"].tolist() == [0, 1, 2]
    assert ckpt.read_state(checkpoint).table_steps == 7


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
    own, every = (rows_in(checkpoint, ckpt.read_by(1, world, 2)) for world in (2, 3))
    assert {name: rows.keys.tolist() for name, rows in own.items()} == {"item": [1, -10]}
    assert {name: rows.keys.tolist() for name, rows in every.items()} == {
        "item": [0, -9, 1, -10],
        "tag/odd": [0, 1],
    }
    flip_a_byte(checkpoint / "tables-1-000000.safetensors")
    # Who does not read it does not see it.
    assert ckpt.fault_of(checkpoint, 0, 2) is None
    for rank, world_size in ((1, 2), (0, 1), (0, 3)):
        fault = ckpt.fault_of(checkpoint, rank, world_size)
        assert fault is not None
        assert "tables-1-000000.safetensors" in fault
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
    rows = shard_rows(torch.arange(3), torch.ones(3, 2), torch.zeros(3))
    moved = rows.to(torch.device("meta"))
    assert [value.device.type for value in vars(moved).values()] == ["meta"] * 6
    assert [value.shape for value in vars(moved).values()] == [
        (3,),
        (3, 2),
        *[(3,)] * 4,
    ]
