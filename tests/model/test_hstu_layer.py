"""A whole layer under what training and serving put around it."""

from collections.abc import Callable

import pytest
import torch
from rayrank.model.hstu import HSTULayer
from rayrank.model.sequence import Sequence, sequence
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .rows import SCHEMA, User, behaviour, candidate, features, jagged

PROFILE = features(SCHEMA, "profile", 0)
Run = Callable[[Tensor, Sequence], Tensor]


def layout(users: int) -> Sequence:
    drawn = [
        User(
            PROFILE,
            [behaviour(-m, m) for m in range(n + 3, 0, -1)],
            [behaviour(m, m) for m in range(1, n + 1)],
            [candidate(m, m) for m in range(1, 6)],
        )
        for n in range(users)
    ]
    return sequence(jagged(drawn), SCHEMA)


@pytest.fixture
def layer() -> HSTULayer:
    torch.manual_seed(0)
    layer = HSTULayer(len(SCHEMA.groups), width=32, heads=2, attention_length=4, dropout=0.0)
    nn.init.normal_(layer.gate_norm.bias_GD)
    return layer


def pass_through(run: Run, layer: HSTULayer, users: int) -> list[Tensor]:
    """The output and all gradients, under bfloat16 autocast."""
    found = layout(users)
    generator = torch.Generator().manual_seed(users)
    x_TD = torch.randn(len(found.group_T), layer.width, generator=generator, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        y_TD = run(x_TD, found)
    return [y_TD, *torch.autograd.grad(y_TD.sin().sum(), [x_TD, *layer.parameters()])]


def assert_same(run: Run, layer: HSTULayer, users: int) -> None:
    pairs = zip(pass_through(run, layer, users), pass_through(layer, layer, users), strict=True)
    assert all(torch.equal(got, expected) for got, expected in pairs)


def test_recomputing_it_changes_nothing(layer: HSTULayer) -> None:
    assert_same(lambda x, found: checkpoint(layer, x, found, use_reentrant=False), layer, 4)


def test_compiled_as_one_graph_it_is_the_same(layer: HSTULayer) -> None:
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    for users in (4, 3):
        assert_same(compiled, layer, users)


def test_autocast_keeps_the_residual_stream_in_float32(layer: HSTULayer) -> None:
    half, *_ = pass_through(layer, layer, 4)
    found = layout(4)
    x_TD = torch.randn(len(found.group_T), layer.width, generator=torch.Generator().manual_seed(4))
    full = layer(x_TD, found)
    assert half.dtype == torch.float32
    assert not torch.equal(half, full)
    torch.testing.assert_close(half, full, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("users", [1, 4])
def test_candidates_alone_are_what_the_whole_layer_makes_of_them(
    layer: HSTULayer, users: int
) -> None:
    """And gradients too: of what stands before them through keys and values."""
    layer.double()
    found = layout(users)
    generator = torch.Generator().manual_seed(users)
    x_TD = torch.randn(len(found.group_T), 32, generator=generator, dtype=torch.float64)
    x_TD.requires_grad_()
    is_candidate = found.group_T == len(SCHEMA.groups) - 1
    whole, alone = layer(x_TD, found)[is_candidate], layer.candidates(x_TD, found)
    assert len(alone) == 5 * users
    torch.testing.assert_close(alone, whole, rtol=1e-12, atol=1e-12)
    leaves = [x_TD, *layer.parameters()]
    for got, wanted in zip(
        torch.autograd.grad(alone.sin().sum(), leaves),
        torch.autograd.grad(whole.sin().sum(), leaves),
        strict=True,
    ):
        torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)
