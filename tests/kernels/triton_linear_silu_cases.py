"""Cases for linear_silu's Triton body; `test_triton.py` runs them, see there."""

from typing import NamedTuple

import torch
from hstu_kernels.linear_silu_reference import linear_silu_reference
from hstu_kernels.linear_silu_triton import linear_silu_forward, silu_backward_of_parts
from hstu_kernels.testing import assert_close
from hstu_kernels.tuning import Config
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ..effort import examples
from .triton_device import DEVICE, DTYPES_OF_PRODUCTS

TOLERANCE = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}
CONFIG = Config(16, 32, 4, 1, maxnreg=128)


class Inputs(NamedTuple):
    x_TK: Tensor
    weight_NK: Tensor
    bias_N: Tensor


def draw(T: int, K: int, N: int, dtype: torch.dtype, seed: int = 0) -> Inputs:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(DEVICE, dtype)

    return Inputs(normal(T, K), normal(N, K) * K**-0.5, normal(N))


def run(inputs: Inputs, widths: list[int], dparts: list[Tensor]) -> tuple[Tensor, ...]:
    """The parts and the gradients of x, weight and bias."""
    x_TK, weight_NK, _ = inputs
    parts, z_TN = linear_silu_forward(*inputs, widths, True, CONFIG)
    dz_TN, dbias_N = silu_backward_of_parts(dparts, z_TN)
    return *parts, dz_TN @ weight_NK, dz_TN.T @ x_TK, dbias_N


def define(inputs: Inputs, widths: list[int], dparts: list[Tensor]) -> tuple[Tensor, ...]:
    """What `run` must give, in float64."""
    exact = [t.double().requires_grad_() for t in inputs]
    x_TK, weight_NK, bias_N = exact
    parts = linear_silu_reference(x_TK, weight_NK, bias_N, widths)
    return *parts, *torch.autograd.grad(parts, exact, [dpart.double() for dpart in dparts])


@settings(max_examples=examples(40), deadline=None)
@given(
    T=st.sampled_from([0, 1, 20, 37, 150]),  # 150: more row blocks than a group has
    K=st.sampled_from([8, 48, 70, 128]),
    widths=st.lists(st.sampled_from([0, 1, 7, 16, 33, 64, 130]), min_size=1, max_size=4),
    dtype=st.sampled_from(DTYPES_OF_PRODUCTS),
    seed=st.integers(0, 1000),
)
def test_matches_the_definition(
    *, T: int, K: int, widths: list[int], dtype: torch.dtype, seed: int
) -> None:
    inputs = draw(T, K, sum(widths), dtype, seed)
    # Parts of a wider gradient: their rows are not next to each other.
    dparts = list((inputs.x_TK @ inputs.weight_NK.T).sin().split(widths, dim=1))
    actual = run(inputs, widths, dparts)
    # The gradients are sums of rounded terms, over the columns for x, else over the rows.
    sizes = [1.0] * len(widths) + [(sum(widths) / K) ** 0.5, T**0.5, T**0.5]
    for got, wanted, size in zip(actual, define(inputs, widths, dparts), sizes, strict=True):
        assert got.dtype == dtype
        assert got.is_contiguous()
        assert_close(got, wanted, TOLERANCE[dtype], size=size)


def test_the_same_bits_alone_among_others_and_again() -> None:
    widths = [16, 40]
    inputs = draw(150, 48, 56, torch.float16)
    together = linear_silu_forward(*inputs, widths, True, CONFIG)[0]
    again = linear_silu_forward(*inputs, widths, False, CONFIG)[0]
    own = slice(71, 90)
    alone = linear_silu_forward(inputs.x_TK[own], *inputs[1:], widths, False, CONFIG)[0]
    for one, other, few in zip(together, again, alone, strict=True):
        assert torch.equal(one, other)
        assert torch.equal(one[own], few)


def test_views_are_read_in_place_and_others_copied() -> None:
    """Rows of something wider, columns of something transposed, and a gradient seen T times."""
    widths = [16, 24]
    x_TK = torch.randn(21, 3 * 32, device=DEVICE)[:, 32:64]
    weight_NK = torch.randn(32, 40, device=DEVICE).T
    bias_N = torch.randn(80, device=DEVICE)[::2]
    inputs = Inputs(x_TK, weight_NK, bias_N)
    zeros, ones = torch.zeros(1, 16, device=DEVICE), torch.ones(1, 1, device=DEVICE)
    dparts = [zeros.expand(21, 16), ones.expand(21, 24)]
    actual = run(inputs, widths, dparts)
    whole = run(Inputs(*(t.contiguous() for t in inputs)), widths, [d.contiguous() for d in dparts])
    for got, wanted in zip(actual, whole, strict=True):
        assert_close(got, wanted, 1e-6)


def test_nothing_is_kept_unless_asked_for() -> None:
    inputs = draw(20, 16, 24, torch.float32)
    parts, z_TN = linear_silu_forward(*inputs, [24], False, CONFIG)
    assert z_TN.shape == (0, 24)
    assert not parts[0].isnan().any()
