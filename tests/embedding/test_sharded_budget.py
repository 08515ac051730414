"""Sharded tables with a budget, in worlds of three, two and one: who goes, what is left, deltas."""

from pathlib import Path
from typing import Any

import pytest
import torch
from rayrank.embedding.budget import rules_of
from rayrank.embedding.delta import Delta, apply, read_deltas, write_deltas
from rayrank.embedding.delta import joined as joined_deltas
from rayrank.embedding.frozen import content_of, freeze
from rayrank.embedding.hashing import mix
from rayrank.embedding.sharded import owner
from rayrank.embedding.tables import LearnedRows, ShardRows
from torch import Tensor

from .budgets import Budgeted
from .sharded_worker import (
    CROWD_MOVES,
    CROWD_STEPS,
    CROWDED,
    DELTA_SINCE,
    SEED,
    STD,
    TABLES,
    WORLDS,
    crowd_of,
)


def load(path: Path) -> Any:
    return torch.load(path, weights_only=False)


def crowds(folder: Path, world: int) -> dict[str, dict[int, tuple[Tensor, float, int, int]]]:
    """Table -> key -> vector, momentum, last step, sightings."""
    found: dict[str, dict[int, tuple[Tensor, float, int, int]]] = {name: {} for name in TABLES}
    for rank in range(world):
        for name, rows in load(folder / f"crowded-{world}-{rank}.pt")["rows"].items():
            assert (owner(rows.keys, world) == rank).all()
            told = [rows.momentum.tolist(), rows.last.tolist(), rows.sightings.tolist()]
            for key, vector, *rest in zip(rows.keys.tolist(), rows.vectors, *told, strict=True):
                assert key not in found[name]
                found[name][key] = (vector, *rest)
    return found


@pytest.mark.parametrize("world", WORLDS)
def test_the_same_ids_go_on_any_number_of_ranks(folder: Path, world: int) -> None:
    dims = {name: table.dim for name, table in TABLES.items()}
    expected = Budgeted(dims, rules_of(TABLES, CROWDED), CROWDED)
    went = 0
    for step in range(CROWD_STEPS):
        ids, _ = crowd_of(step, 0, 1)
        gone = expected.take({name: mix(of).tolist() for name, of in ids.items()})
        # What goes at the end of a step is told in the next one, of the same tables.
        went += sum(map(len, gone.values())) if step + 1 not in (CROWD_MOVES, CROWD_STEPS) else 0
    found = crowds(folder, world)
    for name in TABLES:
        assert {key: list(told[2:]) for key, told in found[name].items()} == expected.held[name]
    held = [load(folder / f"crowded-{world}-{rank}.pt") for rank in range(world)]
    assert [of["evicted"] for of in held] == [went] * world
    assert went > 200
    for name in ("item", "city"):
        waiting = [key for of in held for key in of["aside"][f"{name}/waiting/keys"].tolist()]
        assert sorted(waiting) == sorted(expected.waiting[name])


@pytest.mark.parametrize("world", WORLDS[1:])
def test_and_leave_the_same_vectors(folder: Path, world: int) -> None:
    first, other = crowds(folder, WORLDS[0]), crowds(folder, world)
    for name, of in first.items():
        for key, (vector, momentum, *_) in of.items():
            torch.testing.assert_close(other[name][key][0], vector, rtol=1e-6, atol=1e-6)
            assert other[name][key][1] == pytest.approx(momentum, rel=1e-5)


@pytest.mark.parametrize("world", WORLDS)
def test_a_delta_makes_the_table_that_would_be_frozen_now(
    folder: Path, world: int, tmp_path: Path
) -> None:
    """Bit for bit, through a file for each rank; tables came from a checkpoint in between."""
    held = [load(folder / f"crowded-{world}-{rank}.pt") for rank in range(world)]
    for rank, of in enumerate(held):
        write_deltas(tmp_path / str(rank), of["deltas"])
    deltas = [read_deltas(tmp_path / str(rank)) for rank in range(world)]
    for name in TABLES:
        then, now = (
            freeze(name, ShardRows.joined([of[when][name] for of in held]), init_std=STD, seed=SEED)
            for when in ("before", "rows")
        )
        delta = joined_deltas([of[name] for of in deltas])
        assert (delta.since, delta.until) == (DELTA_SINCE, CROWD_STEPS)
        assert 0 < len(delta.rows.keys) < len(content_of(now)[0])
        assert len(delta.gone)
        found = apply(name, then, delta, init_std=STD, seed=SEED)
        assert torch.equal(found.vectors.view(torch.int16), now.vectors.view(torch.int16))
        assert torch.equal(found.buckets.keys, now.buckets.keys)
        assert (found.buckets.empty, found.buckets.reach) == (now.buckets.empty, now.buckets.reach)
        assert not torch.equal(then.vectors[:50], now.vectors[:50])


def test_deltas_of_different_steps_are_not_joined() -> None:
    none = LearnedRows(torch.empty(0, dtype=torch.int64), torch.empty(0, 8))
    deltas = [Delta(since, 9, none, none.keys) for since in (3, 4)]
    with pytest.raises(ValueError, match="deltas of different steps"):
        joined_deltas(deltas)
