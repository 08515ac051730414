"""Group layer norm and its gated form on CPUs against their float64 definition."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hstu_kernels import gated_group_layer_norm, group_layer_norm
from hstu_kernels.group_layer_norm_reference import group_layer_norm_reference
from hstu_kernels.testing import assert_close
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..effort import examples

TOLERANCE = {torch.float64: 1e-11, torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}
EPS = 1e-6


def draw(
    T: int, G: int, D: int, dtype: torch.dtype, weight_dtype: torch.dtype, *, seed: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """x, u, group, weight, bias."""
    generator = torch.Generator().manual_seed(seed)

    def normal(rows: int, dtype: torch.dtype) -> Tensor:
        x = torch.randn(rows, D, generator=generator, dtype=torch.float64) + 0.5
        return x.to(dtype).requires_grad_()

    group_T = torch.randint(G, (T,), generator=generator)
    return (
        normal(T, dtype),
        normal(T, dtype),
        group_T,
        normal(G, weight_dtype),
        normal(G, weight_dtype),
    )


@settings(max_examples=examples(60), deadline=None)
@given(
    T=st.sampled_from([0, 1, 17, 129]),
    G=st.integers(1, 5),
    D=st.sampled_from([8, 33, 128]),
    dtype=st.sampled_from(list(TOLERANCE)),
    wide_weight=st.booleans(),
    gated=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_forward_and_gradients_match_the_definition(
    *, T: int, G: int, D: int, dtype: torch.dtype, wide_weight: bool, gated: bool, seed: int
) -> None:
    weight_dtype = torch.promote_types(dtype, torch.float32) if wide_weight else dtype
    x, u, group, weight, bias = draw(T, G, D, dtype, weight_dtype, seed=seed)
    ex, eu, eweight, ebias = (t.detach().double().requires_grad_() for t in (x, u, weight, bias))
    if gated:
        actual = gated_group_layer_norm(x, u, group.int(), weight, bias, eps=EPS)
        expected = group_layer_norm_reference(ex * eu, group, eweight, ebias, eps=EPS)
        inputs, exact = [x, u, weight, bias], [ex, eu, eweight, ebias]
    else:
        actual = group_layer_norm(x, group, weight, bias, eps=EPS)
        expected = group_layer_norm_reference(ex, group, eweight, ebias, eps=EPS)
        inputs, exact = [x, weight, bias], [ex, eweight, ebias]
    assert actual.dtype == dtype
    assert_close(actual, expected, TOLERANCE[dtype])
    grad = torch.randn_like(expected)
    actual_grads = torch.autograd.grad(actual, inputs, grad.to(dtype))
    expected_grads = torch.autograd.grad(expected, exact, grad.to(dtype).double())
    for got, wanted, given_ in zip(actual_grads, expected_grads, inputs, strict=True):
        assert got.dtype == given_.dtype
        assert_close(got, wanted, TOLERANCE[dtype], size=1.0)


def test_the_definition_is_layer_norm_where_all_groups_are_one() -> None:
    x, _, _, weight, bias = draw(9, 1, 12, torch.float64, torch.float64, seed=0)
    one_group = torch.zeros(9, dtype=torch.int64)
    torch.testing.assert_close(
        group_layer_norm_reference(x, one_group, weight, bias, eps=EPS),
        torch.nn.functional.layer_norm(x, (12,), weight[0], bias[0], EPS),
    )


def test_the_definition_has_the_gradients_of_finite_differences() -> None:
    x, _, group, weight, bias = draw(5, 3, 6, torch.float64, torch.float64, seed=1)
    assert torch.autograd.gradcheck(
        lambda x, w, b: group_layer_norm_reference(x, group, w, b, eps=EPS), (x, weight, bias)
    )


def test_statistics_of_half_precision_are_float32() -> None:
    """A large common part: in bfloat16 the mean's square would swallow the variance."""
    x, _, group, weight, bias = draw(64, 2, 256, torch.float32, torch.float32, seed=2)
    shifted = (x.detach() + 30).bfloat16()
    expected = group_layer_norm_reference(
        shifted.double(), group, weight.double(), bias.double(), eps=EPS
    )
    assert_close(group_layer_norm(shifted, group, weight, bias, eps=EPS), expected, 1e-2)


def test_views_of_one_projection() -> None:
    _, _, group, weight, bias = draw(40, 3, 24, torch.float32, torch.float32, seed=3)
    wide = torch.randn(40, 48)
    o, u = wide.split(24, dim=1)
    assert torch.equal(
        gated_group_layer_norm(o, u, group, weight, bias),
        gated_group_layer_norm(o.contiguous(), u.contiguous(), group, weight, bias),
    )
    assert torch.equal(
        group_layer_norm(u, group, weight, bias),
        group_layer_norm(u.contiguous(), group, weight, bias),
    )


def test_under_autocast_the_input_keeps_its_dtype() -> None:
    x, u, group, weight, bias = draw(20, 3, 16, torch.float32, torch.float32, seed=4)
    plain = gated_group_layer_norm(x, u, group, weight, bias)
    plain_grads = torch.autograd.grad(plain.sum(), (x, u, weight, bias))
    with torch.autocast("cpu", torch.bfloat16):
        cast = gated_group_layer_norm(x, u, group, weight, bias)
        cast_grads = torch.autograd.grad(cast.sum(), (x, u, weight, bias))
    assert torch.equal(plain, cast)
    assert all(torch.equal(a, b) for a, b in zip(plain_grads, cast_grads, strict=True))


def both(o: Tensor, u: Tensor, group: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """What a layer calls, one after the other."""
    return group_layer_norm(gated_group_layer_norm(o, u, group, weight, bias), group, weight, bias)


def gradients(run: Callable[..., Tensor], T: int) -> tuple[Tensor, ...]:
    o, u, group, weight, bias = draw(T, 3, 16, torch.float32, torch.float32, seed=7)
    y = run(o, u, group, weight, bias)
    return y, *torch.autograd.grad(y.sin().sum(), (o, u, weight, bias))


def test_recomputing_under_checkpoint_changes_nothing() -> None:
    recomputed = gradients(lambda *inputs: checkpoint(both, *inputs, use_reentrant=False), 20)
    assert all(torch.equal(a, b) for a, b in zip(recomputed, gradients(both, 20), strict=True))


def test_compiled_they_are_the_same() -> None:
    """As one graph; the second length is compiled as any length."""
    compiled = torch.compile(both, backend="aot_eager", fullgraph=True)
    for T in (20, 33):
        pairs = zip(gradients(compiled, T), gradients(both, T), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


def test_are_well_behaved_torch_operators() -> None:
    x, u, group, weight, bias = draw(20, 3, 16, torch.float32, torch.float32, seed=5)
    plain: Any = torch.ops.hstu.group_layer_norm.default
    gated: Any = torch.ops.hstu.gated_group_layer_norm.default
    torch.library.opcheck(plain, (x, group, weight, bias, EPS))
    torch.library.opcheck(gated, (x, u, group, weight, bias, EPS))


def good() -> dict[str, Tensor]:
    x, u, group, weight, bias = draw(5, 3, 8, torch.float32, torch.float32, seed=6)
    return {"o_TD": x, "u_TD": u, "group_T": group, "weight_GD": weight, "bias_GD": bias}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"o_TD": torch.zeros(5, 2, 4)}, "the input must be floating"),
        ({"o_TD": torch.zeros(5, 8, dtype=torch.int64)}, "the input must be floating"),
        ({"u_TD": torch.zeros(4, 8)}, "u must be like o"),
        ({"u_TD": torch.zeros(5, 8, dtype=torch.float16)}, "u must be like o"),
        ({"group_T": torch.zeros(4, dtype=torch.int64)}, "group must be"),
        ({"group_T": torch.zeros(5)}, "group must be"),
        ({"group_T": torch.tensor([0, 1, 2, 3, 0])}, r"groups must lie in 0\.\.2"),
        ({"group_T": torch.tensor([0, 1, 2, -1, 0])}, r"groups must lie in 0\.\.2"),
        ({"weight_GD": torch.zeros(3, 7)}, "weight must be"),
        ({"bias_GD": torch.zeros(2, 8)}, "bias must be like weight"),
        (
            {"weight_GD": torch.zeros(3, 8).half(), "bias_GD": torch.zeros(3, 8).half()},
            "or a wider one",
        ),
        ({"group_T": torch.empty(5, dtype=torch.int64, device="meta")}, "group is on meta"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Tensor], message: str) -> None:
    gated_group_layer_norm(**good(), eps=EPS)
    with pytest.raises(ValueError, match=message):
        gated_group_layer_norm(**(good() | change), eps=EPS)
