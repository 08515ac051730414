"""The gradient of a step is that of all its users as one batch, on one process: of 1, 2 and 4
ranks, in one batch each or added up over three, with ranks and batches that have no user, the dense
part replicated and sharded.

Seen through what it leaves: AdamW's first moment is a tenth of it, Adagrad's sum its mean square.
"""

from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from .test_step import BETA_1, added, held
from .worlds import Case, Dealt, Truth, at_start, mean_loss, ranker_config, run_world, saw, user

USERS = [user(n, shown) for n, shown in enumerate((5, 1, 3, 2, 6, 1, 4, 2))]
WORLDS = (1, 2, 4)
CLOSE = 1e-6
"""Of the largest gradient of its kind."""


def dealt(world: int, each: int) -> Dealt:
    """All users: the last rank of several has none, and so has the first rank's last batch."""
    batches = [[[] for _ in range(each)] for _ in range(world)]  # type: Dealt
    busy = [(rank, k) for rank in range(max(1, world - 1)) for k in range(each)]
    busy = [place for place in busy if each == 1 or place != (0, each - 1)]
    for n, one in enumerate(USERS):
        rank, k = busy[n * n % len(busy)]
        batches[rank][k].append(one)
    return batches


class Union(NamedTuple):
    """What all worlds have left, and the truth."""

    folder: Path
    truth: Truth


@pytest.fixture(scope="module")
def union(tmp_path_factory: pytest.TempPathFactory) -> Union:
    folder = tmp_path_factory.mktemp("unions")
    for world in WORLDS:
        cases = {
            f"{dense}-{each}": Case(
                ranker_config(dense=dense), [(0, 0.0)], dealt=[dealt(world, each)]
            )
            for dense in ("replicated", "sharded")
            for each in (1, 3)
        }
        (folder / str(world)).mkdir()
        run_world(folder / str(world), cases, world)
    return Union(folder, mean_loss(at_start(ranker_config()).double(), USERS))


def test_users_are_dealt_once_and_some_have_none() -> None:
    for world in WORLDS:
        for each in (1, 3):
            batches = dealt(world, each)
            assert [len(of) for of in batches] == [each] * world
            assert sorted(map(id, (u for of in batches for b in of for u in b))) == sorted(
                map(id, USERS)
            )
            assert (world == 1) or not any(batches[-1])
            assert (each == 1) or not batches[0][-1]


@pytest.mark.parametrize("dense", ["replicated", "sharded"])
@pytest.mark.parametrize("each", [1, 3])
@pytest.mark.parametrize("world", WORLDS)
def test_the_gradient_is_that_of_one_process(
    union: Union, world: int, each: int, dense: str
) -> None:
    largest = max(float(g.abs().max()) for g in union.truth.dense.values())
    of_rows = max(float(g.square().mean()) for g in union.truth.rows.values())
    seen: set[tuple[str, int]] = set()
    for rank in range(world):
        what = saw(union.folder / str(world), f"{dense}-{each}", rank)
        before, after = what["states"]
        assert what["facts"][0]["loss"] == pytest.approx(union.truth.loss, rel=CLOSE)
        found = added(before, after, "exp_avg", BETA_1)
        assert found.keys() == union.truth.dense.keys()
        for name, gradient in union.truth.dense.items():
            assert float((found[name] - gradient).abs().max()) <= CLOSE * largest, name
        for row, square in held(after, "momentum").items():
            assert row not in seen
            seen.add(row)
            expected = union.truth.rows[row].square().mean()
            # The square of what is right to 1e-6 is right to 2e-6.
            assert float((square - expected).abs()) <= 2 * CLOSE * of_rows, row
        for row, vector in held(after, "vectors").items():
            gradient = union.truth.rows[row]
            if gradient.abs().max() < 1e-4 * largest:
                continue  # float32 hardly knows its direction
            expected = -0.05 * gradient / gradient.square().mean().sqrt()
            torch.testing.assert_close(vector, expected, rtol=1e-3, atol=1e-3 * 0.05)
    assert seen == union.truth.rows.keys()
