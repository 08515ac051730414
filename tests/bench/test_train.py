"""The benchmark of training: the simulated balance is what it is, and every figure is there."""

import math

import numpy as np
import pyarrow as pa
import pytest
import torch
from rayrank.data.jagged import to_jagged
from rayrank.embedding.tables import LocalTables
from rayrank.model.mtgr import MTGR, MTGRConfig

from bench.engine_rows import SCHEMA, row
from bench.train import BALANCE, BOUNDS, Sizes, measure, table
from bench.train_balance import balance
from bench.train_dense import CLOSE, apart
from bench.train_dense import Asked as AskedDense
from bench.train_dense import measure as measure_dense
from bench.train_memory import Asked
from bench.train_memory import measure as measure_memory
from bench.train_padded import PaddedMTGR, by_length
from bench.train_ranks import STATS
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


def test_padded_batches_are_of_like_length_and_hold_all_rows_once() -> None:
    tokens = long_tailed(500, seed=2)
    batches = list(by_length(tokens, 4096, epoch=0))
    assert sorted(np.concatenate(batches).tolist()) == list(range(500))
    for batch in batches:
        assert len(batch) == 1 or tokens[batch].max() * len(batch) <= 4096
    padded = sum(tokens[batch].max() * len(batch) for batch in batches)
    assert padded < 1.1 * tokens.sum(), "bucketing by length leaves little to pad"


def test_the_padded_model_is_the_same_model() -> None:
    torch.manual_seed(0)
    config = MTGRConfig.model_validate({"size": "tiny"})
    tables = LocalTables(SCHEMA.tables, init_std=0.5, seed=0)
    model = MTGR(SCHEMA, config, tables, STATS.scales())
    padded = PaddedMTGR(SCHEMA, config, tables, STATS.scales())
    padded.load_state_dict(model.state_dict())
    rows = pa.concat_tables([row(user, 20 * user + 3, user + 1) for user in range(5)])
    batch = to_jagged(rows, SCHEMA)
    found, expected = padded(batch), model(batch)
    assert len(expected) == 15
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_memory_and_speed_are_measured_of_steps() -> None:
    found = measure_memory(Asked("tiny", tokens=3000, steps=1), {"16 batches": {"accumulate": 16}})
    assert found["16 batches"]["tokens_per_s"] > 0
    assert 0 < found["16 batches"]["mb"] < 1000


def test_a_sharded_dense_part_trains_as_a_replicated_one() -> None:
    """What `bench.train_dense` asks of GPUs, of two ranks over Gloo."""
    found = measure_dense(AskedDense("tiny", tokens=2000, steps=2), ranks=2)
    assert apart(found) < CLOSE["float32"]
    whole = found["replicated"]["numbers"]
    for way in ("sharded", "sharded, recomputed"):
        assert found[way]["numbers"] == pytest.approx(whole / 2, rel=0.02)
    assert all(of["tokens_per_s"] > 0 and len(of["losses"]) == 3 for of in found.values())


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
