"""The benchmark of training: the simulated balance is what it is, and every figure is there."""

import math

import numpy as np
import pytest

from bench.train import BALANCE, BOUNDS, Sizes, measure, table
from bench.train_balance import balance
from bench.train_rows import LONGEST, candidates_of, long_tailed, pairs_of


def test_users_have_a_long_tail() -> None:
    tokens = long_tailed(20_000, seed=1)
    assert tokens.mean() == pytest.approx(600, rel=0.1)
    assert tokens.max() == LONGEST
    assert (pairs_of(tokens, candidates_of(tokens)) > 0).all()


@pytest.mark.parametrize("ranks", [2, 8, 64])
def test_steps_cost_all_ranks_the_same(ranks: int) -> None:
    """By the model's FLOPs, which the plan sees as tokens and pairs; of a simulation, so that no
    clock is involved."""
    found = balance("small", (ranks,))[str(ranks)]
    assert found["planned"] <= BALANCE[str(ranks)]
    assert found["planned"] < found["tokens"] < found["fixed_users"]


def test_every_figure_is_there() -> None:
    sizes = Sizes(users=24, max_cost=3000, steps=2, rounds=1, simulated_ranks=(2,))
    found = measure(sizes)
    assert all(math.isfinite(found[name]) and found[name] >= 0 for name in BOUNDS)
    assert all(name in table(found) for name in BOUNDS)
    for took in (*found["two"].values(), *found["one"].values()):
        assert took["tokens"] > 0
        assert 0 <= took["waited_s"] < took["seconds"]
    # Two ranks take two batches where one takes one.
    assert found["two"]["planned"]["tokens"] > found["one"]["planned"]["tokens"]
    assert np.isfinite(found["loader_tokens_per_s"])
