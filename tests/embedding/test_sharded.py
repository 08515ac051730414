"""Sharded tables against local ones and against row-wise Adagrad on one process.

Real processes over Gloo: a world of three trains two steps, its rows move to a world of two, which
trains two more, and so on to one. Every world must continue the one reference.
"""

import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from rayrank.embedding.budget import rules_of
from rayrank.embedding.delta import Delta, apply, read_deltas, write_deltas
from rayrank.embedding.delta import joined as joined_deltas
from rayrank.embedding.frozen import content_of, freeze
from rayrank.embedding.hashing import initial_vectors, mix, table_seed
from rayrank.embedding.memory import host_memory
from rayrank.embedding.sharded import owner
from rayrank.embedding.tables import LearnedRows, LocalTables, ShardRows
from torch import Tensor

from .budgets import Budgeted
from .sharded_worker import (
    CROWD_MOVES,
    CROWD_STEPS,
    CROWDED,
    DELTA_SINCE,
    PROBE,
    RATE,
    SEED,
    STD,
    TABLES,
    WORLDS,
    candidates_of,
    crowd_of,
    joined,
    parts_of,
    rank_batch,
)

WORLD_NUMBERS = pytest.mark.parametrize(
    "number", range(len(WORLDS)), ids=[f"{w}_ranks" for w in WORLDS]
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the ranks left."""
    folder = tmp_path_factory.mktemp("ranks")
    worker = str(Path(__file__).with_name("sharded_worker.py"))
    ranks = [
        subprocess.Popen(
            [sys.executable, worker, str(rank), str(folder)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(max(WORLDS))
    ]
    try:
        for rank in ranks:
            _, errors = rank.communicate(timeout=300)
            assert rank.returncode == 0, errors
    finally:
        for rank in ranks:
            rank.kill()
    return folder


@dataclass
class Adagrad:
    """Row-wise Adagrad on dicts, in float64: FBGEMM's rule written down."""

    learned: dict[tuple[str, int], Tensor] = field(default_factory=dict)
    momentum: dict[tuple[str, int], float] = field(default_factory=dict)

    def step(self, step: int) -> float:
        """One step on the union of all ranks' batches; the gradient of the replicated gain."""
        ids, upstream = joined(parts_of(step))
        share = 1 / candidates_of(step)
        gain = 0.0
        gradients: dict[tuple[str, int], Tensor] = {}
        for name, asked in ids.items():
            vectors = self.vectors(name, asked)
            gain += float((vectors * upstream[name]).sum()) * share
            for key, gradient in zip(mix(asked).tolist(), upstream[name].double(), strict=True):
                gradients[name, key] = gradients.get((name, key), 0) + gradient * share
        for row, gradient in gradients.items():
            self.momentum[row] = self.momentum.get(row, 0) + float(gradient.square().mean())
            self.learned[row] = self.learned.get(
                row, torch.zeros(1, dtype=torch.float64)
            ) - RATE * gradient / (self.momentum[row] ** 0.5 + 1e-8)
        return gain

    def vectors(self, name: str, ids: Tensor) -> Tensor:
        """[n, dim]: start and what was learned."""
        start = initial_vectors(mix(ids), TABLES[name].dim, table_seed(name, SEED), STD).double()
        for i, key in enumerate(mix(ids).tolist()):
            start[i] += self.learned.get((name, key), 0)
        return start


def after(steps: int) -> Adagrad:
    reference = Adagrad()
    for step in range(steps):
        reference.step(step)
    return reference


def load(path: Path) -> Any:
    return torch.load(path, weights_only=False)


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual.double(), expected.double(), rtol=2e-5, atol=2e-6)


def test_the_batches_are_uneven_and_some_ranks_have_none() -> None:
    sizes = [
        [len(rank_batch(step, rank, world)[0]["item"]) for rank in range(world)]
        for number, world in enumerate(WORLDS)
        for step in (2 * number, 2 * number + 1)
    ]
    assert any(0 in of_ranks for of_ranks in sizes)
    assert all(len(set(of_ranks)) == len(of_ranks) for of_ranks in sizes)


@WORLD_NUMBERS
def test_vectors_are_those_of_one_process(folder: Path, number: int) -> None:
    world, first = WORLDS[number], 2 * number
    for turn in (0, 1):
        reference = after(first + turn)
        for rank in range(world):
            seen = load(folder / f"saw-{first}-{rank}.pt")["seen"][turn]
            for name, ids in rank_batch(first + turn, rank, world)[0].items():
                assert seen[name].shape == (len(ids), TABLES[name].dim)
                close(seen[name], reference.vectors(name, ids))


def test_the_first_vectors_are_bit_for_bit_those_of_local_tables(folder: Path) -> None:
    local = LocalTables(TABLES, init_std=STD, seed=SEED)
    for rank in range(WORLDS[0]):
        seen = load(folder / f"saw-0-{rank}.pt")["seen"][0]
        expected = local(rank_batch(0, rank, WORLDS[0])[0])
        assert all(torch.equal(seen[name], expected[name]) for name in TABLES)


@WORLD_NUMBERS
def test_rows_are_row_wise_adagrads(folder: Path, number: int) -> None:
    world, steps = WORLDS[number], 2 * number + 2
    reference = after(steps)
    found: dict[tuple[str, int], tuple[Tensor, float]] = {}
    for rank in range(world):
        for name, rows in load(folder / f"rows-{steps}-{rank}.pt").items():
            assert (owner(rows.keys, world) == rank).all()
            for key, vector, momentum in zip(
                rows.keys.tolist(), rows.vectors, rows.momentum.tolist(), strict=True
            ):
                assert (name, key) not in found
                found[name, key] = vector, momentum
    # Every id that was met is somewhere, once, and no other is.
    assert found.keys() == reference.learned.keys()
    for row, (vector, momentum) in found.items():
        close(vector, reference.learned[row])
        assert momentum == pytest.approx(reference.momentum[row], rel=2e-5, abs=1e-9)


@WORLD_NUMBERS
def test_the_replicated_gradient_is_that_of_the_union(folder: Path, number: int) -> None:
    world, first = WORLDS[number], 2 * number
    for turn in (0, 1):
        expected = after(first + turn).step(first + turn)
        for rank in range(world):
            gain = load(folder / f"saw-{first}-{rank}.pt")["gains"][turn]
            assert gain == pytest.approx(expected, rel=1e-4, abs=1e-5)


@WORLD_NUMBERS
def test_evaluation_finds_what_was_learned_and_inserts_nothing(folder: Path, number: int) -> None:
    world, first = WORLDS[number], 2 * number
    reference = after(first + 2)
    for rank in range(world):
        saw = load(folder / f"saw-{first}-{rank}.pt")
        held = load(folder / f"rows-{first + 2}-{rank}.pt")
        assert saw["kept"] == {name: len(rows.keys) for name, rows in held.items()}
        for name in TABLES:
            known = torch.tensor([(name, key) in reference.learned for key in mix(PROBE).tolist()])
            assert not known[-1]  # 123456 was never met
            close(saw["probed"][name][known], reference.vectors(name, PROBE)[known])
            assert not saw["probed"][name][~known].any()


def test_local_tables_of_the_rows_serve_the_same_vectors(folder: Path) -> None:
    (rows,) = [load(path) for path in folder.glob("rows-6-*.pt")]
    local = LocalTables.of_rows(TABLES, rows, init_std=STD, seed=SEED)
    probed = load(folder / "saw-4-0.pt")["probed"]
    for name, vectors in local(dict.fromkeys(TABLES, PROBE)).items():
        assert torch.equal(vectors, probed[name])


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


def test_a_full_table_says_its_name(folder: Path) -> None:
    assert "table 'tiny' has met 4 ids" in (folder / "full.txt").read_text()


def test_the_planner_knows_the_memory_that_is_there(folder: Path) -> None:
    said = (folder / "large.txt").read_text()
    assert re.match(r"tables: 4,\d{3}\.\d GB on each rank", said), said
    assert f"do not fit into {host_memory() / 1e9:,.1f} GB" in said


def test_a_container_may_have_less_memory_than_its_host(tmp_path: Path) -> None:
    for limit, expected in (("max", host_memory(())), (f"{1 << 20}", 1 << 20)):
        (tmp_path / "memory.max").write_text(limit + "\n")
        assert host_memory((str(tmp_path / "memory.max"), "/no/such/file")) == expected


@pytest.mark.parametrize(("world", "rank"), [(3, 0), (3, 2), (2, 1), (1, 0)])
def test_ids_that_were_asked_for_ahead_have_the_same_vectors(
    folder: Path, world: int, rank: int
) -> None:
    """Rank 0 of 3 has none at first."""
    as_they_come, ahead, said = torch.load(folder / f"ahead-{world}-{rank}.pt")
    for one, other in zip(as_they_come, ahead, strict=True):
        for name in TABLES:
            assert torch.equal(one[name], other[name])
    assert "other ids were asked for ahead" in said
