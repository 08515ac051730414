"""The projection with SiLU in parts, on CPUs, against its float64 definition."""

from typing import Any

import pytest
import torch
from hstu_kernels import linear_silu
from hstu_kernels.linear_silu_reference import linear_silu_reference
from hstu_kernels.testing import assert_close
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from ..effort import examples

TOLERANCE = {torch.float64: 1e-11, torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}
WIDTHS = [8, 16]
OPERATOR: Any = torch.ops.hstu.linear_silu.default
BACKWARD: Any = torch.ops.hstu.linear_silu_backward.default


def draw(
    T: int, K: int, N: int, dtype: torch.dtype = torch.float32, *, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """x, weight, bias."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    x_TK, weight_NK, bias_N = normal(T, K), normal(N, K) * K**-0.5, normal(N)
    x_TK, weight_NK, bias_N = (t.to(dtype).requires_grad_() for t in (x_TK, weight_NK, bias_N))
    return x_TK, weight_NK, bias_N


def project(x_TK: Tensor, weight_NK: Tensor, bias_N: Tensor) -> tuple[Tensor, ...]:
    """What a layer calls."""
    return linear_silu(x_TK, weight_NK, bias_N, WIDTHS)


@settings(max_examples=examples(60), deadline=None)
@given(
    T=st.sampled_from([0, 1, 17, 129, 1023]),
    K=st.sampled_from([1, 24, 130]),
    widths=st.lists(st.sampled_from([0, 1, 16, 33, 64]), min_size=1, max_size=4),
    dtype=st.sampled_from(list(TOLERANCE)),
    seed=st.integers(0, 1000),
)
def test_forward_and_gradients_match_the_definition(
    *, T: int, K: int, widths: list[int], dtype: torch.dtype, seed: int
) -> None:
    inputs = draw(T, K, sum(widths), dtype, seed=seed)
    x, weight, bias = exact = [t.detach().double().requires_grad_() for t in inputs]
    actual = linear_silu(*inputs, widths)
    expected = linear_silu_reference(x, weight, bias, widths)
    for part, wanted in zip(actual, expected, strict=True):
        assert part.dtype == dtype
        assert part.is_contiguous()
        assert_close(part, wanted, TOLERANCE[dtype], size=1.0)
    grads = [part.detach().sin() for part in actual]
    actual_grads = torch.autograd.grad(actual, inputs, grads)
    expected_grads = torch.autograd.grad(expected, exact, [grad.double() for grad in grads])
    # Sums of rounded terms, over the columns for x, else over the rows.
    sizes = (sum(widths) / K) ** 0.5, T**0.5, T**0.5
    for got, wanted, size in zip(actual_grads, expected_grads, sizes, strict=True):
        assert got.dtype == dtype
        assert_close(got, wanted, TOLERANCE[dtype], size=size)


def test_the_definition_has_the_gradients_of_finite_differences() -> None:
    inputs = draw(5, 4, 6, torch.float64)
    assert torch.autograd.gradcheck(
        lambda x, weight, bias: linear_silu_reference(x, weight, bias, [1, 0, 5]), inputs
    )


def test_views_as_inputs() -> None:
    """Columns of something wider, a transposed weight, every other bias, expanded gradients."""
    x, weight, bias = torch.randn(40, 72)[:, 24:48], torch.randn(24, 24).T, torch.randn(48)[::2]
    views = tuple(t.requires_grad_() for t in (x, weight, bias))
    whole = tuple(t.detach().contiguous().requires_grad_() for t in (x, weight, bias))
    parts, expected = project(*views), project(*whole)
    ones = [torch.ones(1, 1).expand(40, width) for width in WIDTHS]
    grads = torch.autograd.grad(parts, views, ones)
    expected_grads = torch.autograd.grad(expected, whole, [one.contiguous() for one in ones])
    for got, wanted in zip(parts + grads, expected + expected_grads, strict=True):
        assert_close(got, wanted, 1e-6)


@pytest.mark.parametrize("used", [(0,), (1,), (0, 2)])
def test_a_part_without_a_gradient_counts_as_zeros(used: tuple[int, ...]) -> None:
    widths = [8, 16, 5]
    inputs = draw(20, 12, 29)
    parts = linear_silu(*inputs, widths)
    expected = linear_silu_reference(*inputs, widths)
    grads = [torch.randn_like(parts[i]) for i in used]
    actual_grads = torch.autograd.grad([parts[i] for i in used], inputs, grads)
    expected_grads = torch.autograd.grad([expected[i] for i in used], inputs, grads)
    for got, wanted in zip(actual_grads, expected_grads, strict=True):
        assert_close(got, wanted, 1e-5)


class Kept(TorchDispatchMode):
    """Notes the shapes of what forward passes keep for backward."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[list[int]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is OPERATOR:
            self.shapes.append(list(result[1].shape))
        return result


def test_only_a_gradient_to_come_keeps_anything() -> None:
    inputs = draw(20, 12, 24)
    x, weight, bias = (t.detach() for t in inputs)
    with Kept() as kept:
        with torch.no_grad():
            quiet = project(*inputs)
        project(x, weight, bias)
        loud = project(x, weight, inputs[2])
    assert kept.shapes == [[0, 24], [0, 24], [20, 24]]
    assert all(torch.equal(a, b) for a, b in zip(quiet, loud, strict=True))


def test_half_precision_under_autocast() -> None:
    x, weight, bias = inputs = draw(50, 16, 24)
    with torch.autocast("cpu", torch.bfloat16):
        parts = project(x.bfloat16(), weight, bias)
    assert {part.dtype for part in parts} == {torch.bfloat16}
    expected = project(x.bfloat16(), weight.bfloat16(), bias.bfloat16())
    assert all(torch.equal(a, b) for a, b in zip(parts, expected, strict=True))
    torch.autograd.backward(parts, expected)
    assert all(t.grad is not None and t.grad.dtype == torch.float32 for t in inputs)


def test_float64_stays_float64_under_autocast() -> None:
    inputs = draw(20, 12, 24, torch.float64)
    plain = project(*inputs)
    plain_grads = torch.autograd.grad(plain, inputs, plain)
    with torch.autocast("cpu", torch.bfloat16):
        cast = project(*inputs)
        cast_grads = torch.autograd.grad(cast, inputs, cast)
    pairs = zip(plain + plain_grads, cast + cast_grads, strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("reentrant", [False, True])
def test_recomputing_under_checkpoint_changes_nothing(reentrant: bool) -> None:
    """Reentrant, the first pass knows of no gradient and the second does."""
    grads = [torch.randn(50, 8), torch.randn(50, 16)]
    plain, recomputed = draw(50, 16, 24), draw(50, 16, 24)
    torch.autograd.backward(project(*plain), grads)
    parts = checkpoint(project, *recomputed, use_reentrant=reentrant)
    torch.autograd.backward(parts, grads)
    for got, wanted in zip(recomputed, plain, strict=True):
        assert got.grad is not None
        assert wanted.grad is not None
        assert torch.equal(got.grad, wanted.grad)


def test_compiled_it_is_the_same() -> None:
    """As one graph; the second length is compiled as any length."""
    compiled = torch.compile(project, backend="aot_eager", fullgraph=True)
    for T in (50, 33):
        inputs = draw(T, 16, 24)
        grads = [torch.randn(T, 8), torch.randn(T, 16)]
        expected, actual = project(*inputs), compiled(*inputs)
        assert all(torch.equal(a, b) for a, b in zip(actual, expected, strict=True))
        expected_grads = torch.autograd.grad(expected, inputs, grads)
        actual_grads = torch.autograd.grad(actual, inputs, grads)
        assert all(torch.equal(a, b) for a, b in zip(actual_grads, expected_grads, strict=True))


@pytest.mark.parametrize("widths", [[24], [8, 0, 3, 13]])
def test_are_well_behaved_torch_operators(widths: list[int]) -> None:
    inputs = draw(20, 12, 24)
    torch.library.opcheck(OPERATOR, (*inputs, widths, True))
    x, weight, bias = (t.detach() for t in inputs)
    torch.library.opcheck(OPERATOR, (x, weight, bias, widths, False))
    parts, z = OPERATOR(x, weight, bias, widths, True)
    torch.library.opcheck(BACKWARD, (parts, x, weight, z))


def good() -> dict[str, Any]:
    x, weight, bias = draw(5, 8, 12)
    return {"x_TK": x, "weight_NK": weight, "bias_N": bias, "widths": [4, 8]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_TK": torch.zeros(5, 8).half()}, "share one floating dtype, got torch.float16"),
        ({"bias_N": torch.zeros(12, dtype=torch.int64)}, "share one floating dtype"),
        ({"x_TK": torch.zeros(5, 2, 4)}, r"x must be \[tokens, inputs\], got \[5, 2, 4\]"),
        ({"weight_NK": torch.zeros(12, 7)}, r"weight must be \[outputs, 8\], got \[12, 7\]"),
        ({"weight_NK": torch.zeros(12)}, "weight must be"),
        ({"bias_N": torch.zeros(11)}, r"bias must be \[12\], got \[11\]"),
        ({"widths": []}, "widths must be 1 to 4 numbers"),
        ({"widths": [4, 2, 2, 2, 2]}, "widths must be 1 to 4 numbers"),
        ({"widths": [4, 7]}, r"add up to weight's 12 rows, got \[4, 7\]"),
        ({"widths": [-1, 13]}, "none below 0"),
        ({"bias_N": torch.zeros(12, device="meta")}, "bias is on meta, x on cpu"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Any], message: str) -> None:
    linear_silu(**good())
    with pytest.raises(ValueError, match=message):
        linear_silu(**(good() | change))
