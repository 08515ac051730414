"""Cases for group layer norm's Triton body; `test_triton.py` runs them, see there."""

from collections.abc import Iterator

import hstu_kernels.group_layer_norm_triton as body
import pytest
import torch
from hstu_kernels.group_layer_norm_reference import group_layer_norm_reference
from hstu_kernels.testing import assert_close
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ..effort import examples
from .triton_device import DEVICE

TOLERANCE = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}
EPS = 1e-6


def normal(rows: int, D: int, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    return (torch.randn(rows, D, generator=generator) + 0.5).to(DEVICE, dtype)


@pytest.fixture(scope="module", autouse=True)
def several_tokens_to_a_program() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(body, "BACKWARD_PROGRAMS", 8)
        yield


@settings(max_examples=examples(30), deadline=None)
@given(
    T=st.sampled_from([0, 1, 7, 19, 37]),
    G=st.integers(1, 4),
    D=st.sampled_from([16, 48, 1100]),
    dtype=st.sampled_from(list(TOLERANCE)),
    gated=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_matches_the_definition(
    *, T: int, G: int, D: int, dtype: torch.dtype, gated: bool, seed: int
) -> None:
    # One wide product cut in two, as a layer does; weights stay float32 where inputs are half.
    generator = torch.Generator().manual_seed(seed)
    x, u = normal(T, 2 * D, dtype, generator).split(D, dim=1)
    dy = normal(T, D, dtype, generator)
    weight, bias = (normal(G, D, torch.float32, generator) for _ in range(2))
    group = torch.randint(G, (T,), generator=generator).to(DEVICE)

    gate = u if gated else None
    y, mean, rstd = body.group_layer_norm_forward(x, gate, group.int(), weight, bias, EPS)
    dx, du, dweight, dbias = body.group_layer_norm_backward(dy, x, gate, group, weight, mean, rstd)

    ex, eu, ew, eb = (t.detach().double().requires_grad_() for t in (x, u, weight, bias))
    expected = group_layer_norm_reference(ex * eu if gated else ex, group, ew, eb, eps=EPS)
    gradients = torch.autograd.grad(expected, [ex, eu, ew, eb], dy.double(), allow_unused=True)
    assert y.dtype == dx.dtype == dtype
    assert_close(y, expected, TOLERANCE[dtype])
    assert (du is None) == (gradients[1] is None)
    for got, wanted in zip((dx, du, dweight, dbias), gradients, strict=True):
        if got is not None and wanted is not None:
            assert_close(got, wanted, TOLERANCE[dtype], size=1.0)
