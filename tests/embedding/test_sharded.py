"""Sharded tables against local ones and against row-wise Adagrad on one process.

Real processes over Gloo: a world of three trains two steps, its rows move to a world of two, which
trains two more, and so on to one. Every world must continue the one reference.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from rayrank.embedding.hashing import initial_vectors, mix, table_seed
from rayrank.embedding.memory import host_memory
from rayrank.embedding.sharded import owner
from rayrank.embedding.tables import LocalTables
from torch import Tensor

from .sharded_worker import (
    PROBE,
    RATE,
    SEED,
    STD,
    TABLES,
    WORLDS,
    candidates_of,
    joined,
    parts_of,
    rank_batch,
)

WORLD_NUMBERS = pytest.mark.parametrize(
    "number", range(len(WORLDS)), ids=[f"{w}_ranks" for w in WORLDS]
)


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
def test_a_row_is_asked_for_once_by_each_rank_and_read_once(folder: Path, number: int) -> None:
    """By width: of all ranks' batches an owner reads what is distinct."""
    world, steps = WORLDS[number], (2 * number, 2 * number + 1)
    for at, dim in enumerate(sorted({table.dim for table in TABLES.values()})):
        names = [name for name, table in TABLES.items() if table.dim == dim]
        asked = read = 0
        for step in steps:
            for name in names:
                of_ranks = [rank_batch(step, rank, world)[0][name] for rank in range(world)]
                asked += sum(len(ids.unique()) for ids in of_ranks)
                read += len(torch.cat(of_ranks).unique())
        saw = [load(folder / f"saw-{steps[0]}-{rank}.pt")["read"][at] for rank in range(world)]
        assert (sum(of for of, _ in saw), sum(of for _, of in saw)) == (asked, read)
        assert read < asked or world == 1


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
