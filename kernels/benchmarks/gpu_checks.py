"""The operators on a GPU against their float64 definitions, before anything is timed."""

from itertools import product

import torch
from torch import Tensor

from hstu_kernels import gated_group_layer_norm, group_layer_norm, hstu_attention
from hstu_kernels.attention_reference import attention_reference
from hstu_kernels.group_layer_norm_reference import group_layer_norm_reference
from hstu_kernels.testing import PATTERNS, assert_close, visibility

TOLERANCE = {torch.float32: 1e-5, torch.float16: 3e-3, torch.bfloat16: 2e-2}
LENGTHS = [0, 1, 17, 129, 1000, 64, 0, 333]
ALPHA, SCALE, EPS = 0.1, 0.01, 1e-6


def check_all() -> int:
    """Raises AssertionError at the first difference; the number of comparisons otherwise."""
    # Every variant is compiled, which takes seconds each: so not the whole product.
    cases = [*product(PATTERNS, TOLERANCE, [(64, 64)])]
    cases += product(["mtgr"], [torch.bfloat16], [(16, 48), (128, 128), (256, 256)])
    for pattern, dtype, (Dqk, Dv) in cases:
        check_attention(pattern, dtype, Dqk, Dv)
    norms = [*product(TOLERANCE, (48, 512), (False, True))]
    for dtype, D, gated in norms:
        check_norm(dtype, D, gated)
    check_same_bits()
    return len(cases) + len(norms) + 1


def check_attention(pattern: str, dtype: torch.dtype, Dqk: int, Dv: int) -> None:
    integers = visibility(pattern, LENGTHS, torch.Generator().manual_seed(0)).to("cuda")
    q, k, v = (_normal(sum(LENGTHS), 2, D, dtype=dtype) for D in (Dqk, Dqk, Dv))
    do = torch.randn_like(v)
    exact = [x.detach().double().requires_grad_() for x in (q, k, v)]
    o = hstu_attention(q, k, v, *integers, alpha=ALPHA, scale=SCALE)
    expected = attention_reference(
        exact[0], exact[1], exact[2], *integers, alpha=ALPHA, scale=SCALE
    )
    _compare(o, expected, [q, k, v], exact, do, SCALE)


def check_norm(dtype: torch.dtype, D: int, gated: bool) -> None:
    T, G = 1000, 4
    x, u = (_normal(T, D, dtype=dtype) for _ in range(2))
    weight, bias = (_normal(G, D, dtype=torch.float32) for _ in range(2))
    group = torch.randint(G, (T,), device="cuda")
    ex, eu, ew, eb = (t.detach().double().requires_grad_() for t in (x, u, weight, bias))
    expected = group_layer_norm_reference(ex * eu if gated else ex, group, ew, eb, eps=EPS)
    if gated:
        y = gated_group_layer_norm(x, u, group, weight, bias, eps=EPS)
        _compare(y, expected, [x, u, weight, bias], [ex, eu, ew, eb], torch.randn_like(y), 1.0)
    else:
        y = group_layer_norm(x, group, weight, bias, eps=EPS)
        _compare(y, expected, [x, weight, bias], [ex, ew, eb], torch.randn_like(y), 1.0)


def check_same_bits() -> None:
    """A sequence's results do not depend on its neighbours, nor on the run."""
    integers = visibility("mtgr", LENGTHS, torch.Generator().manual_seed(1)).to("cuda")
    q, k, v = (_normal(sum(LENGTHS), 4, 128, dtype=torch.bfloat16) for _ in range(3))
    do = torch.randn_like(v)

    def both(rows: slice, offsets: Tensor) -> list[Tensor]:
        own = [x.detach()[rows].requires_grad_() for x in (q, k, v)]
        o = hstu_attention(
            own[0], own[1], own[2], offsets, integers.visible_end[rows], alpha=ALPHA, scale=SCALE
        )
        return [o, *torch.autograd.grad(o, own, do[rows])]

    together = both(slice(None), integers.offsets)
    assert all(map(torch.equal, together, both(slice(None), integers.offsets))), "differs by run"
    first, last = integers.offsets[4:6].tolist()
    alone = both(slice(first, last), torch.tensor([0, last - first], device="cuda"))
    for x, y in zip(alone, together, strict=True):
        assert torch.equal(x, y[first:last]), "a sequence alone differs from it among others"


def _normal(*shape: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(shape, device="cuda", dtype=dtype, requires_grad=True)


def _compare(
    actual: Tensor,
    expected: Tensor,
    inputs: list[Tensor],
    exact: list[Tensor],
    grad: Tensor,
    size: float,
) -> None:
    tolerance = TOLERANCE[actual.dtype]
    assert_close(actual, expected, tolerance, size)
    actual_grads = torch.autograd.grad(actual, inputs, grad)
    expected_grads = torch.autograd.grad(expected, exact, grad.double())
    for got, wanted in zip(actual_grads, expected_grads, strict=True):
        assert_close(got, wanted, tolerance, size)
