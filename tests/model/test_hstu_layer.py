"""A whole layer under what training and serving put around it."""

from collections.abc import Callable

import pytest
import torch
from rayrank.model.hstu import EncoderLayer, HSTULayer
from rayrank.model.meta_hstu import MetaLayer
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


GROUPS = len(SCHEMA.groups)


@pytest.fixture(params=["mtgr", "without", "meta"])
def layer(request: pytest.FixtureRequest) -> EncoderLayer:
    """MTGR's, one without a gate and each group's norm, and Meta's."""
    torch.manual_seed(0)
    layer: EncoderLayer = {
        "mtgr": lambda: HSTULayer(GROUPS, 32, 2, 4, 0.0),
        "without": lambda: HSTULayer(1, 32, 2, 4, 0.0, gate=False),
        "meta": lambda: MetaLayer(32, 2, 4, 0.0),
    }[request.param]()
    for name, parameter in layer.named_parameters():
        if name.endswith("bias_GD"):
            nn.init.normal_(parameter)
    return layer


def pass_through(run: Run, layer: EncoderLayer, users: int) -> list[Tensor]:
    """The output and all gradients, under bfloat16 autocast."""
    found = layout(users)
    generator = torch.Generator().manual_seed(users)
    x_TD = torch.randn(len(found.group_T), layer.width, generator=generator, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        y_TD = run(x_TD, found)
    return [y_TD, *torch.autograd.grad(y_TD.sin().sum(), [x_TD, *layer.parameters()])]


def assert_same(run: Run, layer: EncoderLayer, users: int) -> None:
    pairs = zip(pass_through(run, layer, users), pass_through(layer, layer, users), strict=True)
    assert all(torch.equal(got, expected) for got, expected in pairs)


def test_recomputing_it_changes_nothing(layer: EncoderLayer) -> None:
    assert_same(lambda x, found: checkpoint(layer, x, found, use_reentrant=False), layer, 4)


@pytest.mark.parametrize("layer", ["mtgr", "meta"], indirect=True)
def test_compiled_as_one_graph_it_is_the_same(layer: EncoderLayer) -> None:
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    for users in (4, 3):
        assert_same(compiled, layer, users)


def test_autocast_keeps_the_residual_stream_in_float32(layer: EncoderLayer) -> None:
    half, *_ = pass_through(layer, layer, 4)
    found = layout(4)
    x_TD = torch.randn(len(found.group_T), layer.width, generator=torch.Generator().manual_seed(4))
    full = layer(x_TD, found)
    assert half.dtype == torch.float32
    assert not torch.equal(half, full)
    torch.testing.assert_close(half, full, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("users", [1, 4])
def test_candidates_alone_are_what_the_whole_layer_makes_of_them(
    layer: EncoderLayer, users: int
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


def test_with_one_norm_no_token_is_told_by_its_group() -> None:
    """Where each group has a gain and bias of its own, it is."""
    torch.manual_seed(0)
    x_TD, group_T = torch.randn(6, 32), torch.arange(6)

    def keys_differ(groups: int) -> bool:
        layer = HSTULayer(groups, 32, 2, 4, 0.0)
        nn.init.normal_(layer.norm.bias_GD)
        (k_TD, _), (k_of_others_TD, _) = (
            layer.keys_values(x_TD, of_T) for of_T in (group_T, group_T.flip(0))
        )
        return not torch.equal(k_TD, k_of_others_TD)

    assert keys_differ(GROUPS)
    assert not keys_differ(1)


def test_without_a_gate_there_is_no_u() -> None:
    """And what is added is W_o GLN(o): with a gate, as if u were 1."""
    gated, plain = HSTULayer(GROUPS, 32, 2, 4, 0.0), HSTULayer(GROUPS, 32, 2, 4, 0.0, gate=False)
    assert gated.project.out_features - plain.project.out_features == 32
    plain.load_state_dict(
        {n: p[32:] if n.startswith("project") else p for n, p in gated.state_dict().items()}
    )
    x_TD, o_TD = torch.randn(2, 6, 32)
    group_T, u_TD = torch.arange(6), torch.ones(6, 32)
    assert len(plain.uqkv(x_TD, group_T)) == 3
    for ours, theirs in zip(plain.uqkv(x_TD, group_T), gated.uqkv(x_TD, group_T)[1:], strict=True):
        torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(
        plain.update(x_TD, o_TD, [], group_T), gated.update(x_TD, o_TD, [u_TD], group_T)
    )


def test_metas_layer_by_hand() -> None:
    """Of u alone is SiLU taken, and W_o reads u, o and u * LN(o)."""
    torch.manual_seed(1)
    layer = MetaLayer(32, 2, 4, 0.0).double()
    x_TD, o_TD = torch.randn(2, 5, 32, dtype=torch.float64)
    group_T = torch.arange(5)
    centred = x_TD - x_TD.mean(1, keepdim=True)
    n_TD = centred / (centred.square().mean(1, keepdim=True) + 1e-6).sqrt()
    z_TD = n_TD @ layer.project.weight.T + layer.project.bias
    u_TD = z_TD[:, :32] / (1 + (-z_TD[:, :32]).exp())
    torch.testing.assert_close(
        torch.cat([*layer.uqkv(x_TD, group_T)], 1), torch.cat([u_TD, z_TD[:, 32:]], 1)
    )
    centred = o_TD - o_TD.mean(1, keepdim=True)
    normal_TD = centred / (centred.square().mean(1, keepdim=True) + 1e-6).sqrt()
    added = sum(
        part @ layer.output.weight[:, 32 * n : 32 * (n + 1)].T
        for n, part in enumerate((u_TD, o_TD, u_TD * normal_TD))
    )
    torch.testing.assert_close(layer.update(x_TD, o_TD, [u_TD], group_T), x_TD + added)
