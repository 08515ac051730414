"""Dense parameters sharded over ranks: the same training, with a share of it on each.

That a step's gradient is that of one process shows `test_union.py`; that a run which lost a worker
ends bit for bit as one that did not, `test_resume.py`.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from rayrank.embedding.tables import LocalTables
from rayrank.model.build import build_model
from rayrank.model.mtgr import MTGRConfig
from rayrank.train.dense import own_part, shard_dense
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.testing._internal.distributed.fake_pg import FakeStore

from ..model.rows import SCHEMA
from .worlds import RANKS, State, saw

SHARDED = pytest.mark.parametrize(
    ("sharded", "replicated"),
    [
        ("sharded", "two layers"),
        ("sharded, over", "over"),
        ("sharded, bfloat16", "bfloat16"),
        ("sharded, float16", "float16"),
    ],
)


def tensors(state: State) -> dict[str, Tensor]:
    """Dense weights, AdamW's state, and tables' rows with their optimizer's state, by name."""
    rows = {
        f"{name}/{field}": value
        for name, part in state["rows"].items()
        for field, value in vars(part).items()
    }
    return {**state["dense"], **state["adamw"], **rows}


def assert_close(one: State, other: State, tolerance: float = 1e-6) -> None:
    found, expected = tensors(one), tensors(other)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=tolerance, atol=tolerance)


@SHARDED
@pytest.mark.parametrize("rank", RANKS)
def test_steps_are_those_of_replicas(world: Path, sharded: str, replicated: str, rank: int) -> None:
    """In the last of three, one rank has no user."""
    found, expected = saw(world, sharded, rank), saw(world, replicated, rank)
    for one, other in zip(found["states"], expected["states"], strict=True):
        assert_close(one, other)
    for one, other in zip(found["facts"], expected["facts"], strict=True):
        for fact in ("loss", "gradient_norm", "loss_scale"):
            assert one[fact] == pytest.approx(other[fact], rel=1e-6, nan_ok=True), fact
    for task, metrics in expected["metrics"].items():
        assert found["metrics"][task] == pytest.approx(metrics, rel=1e-6, nan_ok=True)
    # Evaluation leaves some parameters whole; what is held is told of shares all the same.
    assert_close(found["after_validation"], found["before_validation"], 0.0)


@pytest.mark.parametrize("rank", RANKS)
def test_layers_that_are_computed_again_are_the_same(world: Path, rank: int) -> None:
    kept, again = (saw(world, name, rank) for name in ("sharded", "sharded, recomputed"))
    for one, other in zip(kept["states"], again["states"], strict=True):
        assert_close(one, other, 0.0)


def test_each_rank_holds_its_share(world: Path) -> None:
    """Of parameters and AdamW's moments; tables are TorchRec's."""
    held = [saw(world, "sharded", rank)["held"] for rank in RANKS]
    (whole,) = {of["whole"] for of in held}
    for what in ("parameters", "moments"):
        assert sum(of[what] for of in held) == whole > 10_000
        assert held[0][what] == pytest.approx(whole / 2, rel=0.02)
    adamw = saw(world, "sharded", 0)["states"][-1]["adamw"]
    parameters = {name.removesuffix("/step") for name in adamw if name.endswith("/step")}
    assert [of["sharded"] for of in held] == [parameters] * 2
    replicated = saw(world, "two layers", 0)["held"]
    assert replicated["sharded"] == set()
    assert [replicated[what] for what in ("parameters", "moments", "whole")] == [whole] * 3


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("by", ["replicated", "sharded"])
@pytest.mark.parametrize("of", ["sharded", "two layers"])
def test_a_state_is_taken_over_either_way(world: Path, of: str, by: str, rank: int) -> None:
    """As a checkpoint holds it: bit for bit, and held as the one who takes it holds it."""
    seen = saw(world, of, rank)
    found = seen["taken_over"][by]
    for part in ("dense", "adamw"):
        assert found[part].keys() == seen["states"][-1][part].keys()
        for name, value in seen["states"][-1][part].items():
            assert torch.equal(found[part][name], value), name
    twin = {"replicated": "two layers", "sharded": "sharded"}[by]
    assert found["held"] == saw(world, twin, rank)["held"]


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("how", ["sharded", "two layers"])
def test_what_one_rank_alone_has_not_finite_is_named_by_all(
    world: Path, how: str, rank: int
) -> None:
    said = saw(world, how, rank)["spoiled"]
    assert said.startswith("step 7: the weight: not finite any more, and so not saved")


@pytest.fixture
def eight_ranks() -> Iterator[None]:
    """The first of eight that only seem to be there."""
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=8)
    yield
    dist.destroy_process_group()


def test_the_largest_model_is_sharded_layer_by_layer(eight_ranks: None) -> None:
    """Without memory: every dense parameter, and no table."""
    config = MTGRConfig.model_validate({"size": "xlarge"})
    with torch.device("meta"):
        tables = LocalTables(SCHEMA.tables, init_std=0.1, seed=0)
        ranker = build_model(SCHEMA, config, tables, scales={})
    whole = {name: p.shape for name, p in ranker.dense_parameters().items()}
    shard_dense(ranker, "cpu")
    dense = ranker.dense_parameters()
    assert {name: p.shape for name, p in dense.items()} == whole
    assert all(isinstance(p, DTensor) for p in dense.values())
    assert list(tables.parameters())
    assert not any(isinstance(p, DTensor) for p in tables.parameters())
    numbers = sum(p.numel() for p in dense.values())
    assert numbers > 100e6
    assert sum(own_part(p).numel() for p in dense.values()) == pytest.approx(numbers / 8, rel=0.01)
    assert len(ranker.blocks()) == 22
