"""The operators on a GPU against their float64 definitions, before anything is timed."""

import random
from collections.abc import Callable, Mapping
from functools import partial
from itertools import product

import torch
from torch import Tensor

from benchmarks.records import in_a_line
from hstu_kernels import (
    gated_group_layer_norm,
    group_layer_norm,
    hstu_attention,
    jagged_concat,
    jagged_split,
    linear_silu,
)
from hstu_kernels.attention_reference import attention_reference
from hstu_kernels.group_layer_norm_reference import group_layer_norm_reference
from hstu_kernels.jagged_concat_reference import jagged_concat_reference
from hstu_kernels.linear_silu_reference import linear_silu_reference
from hstu_kernels.testing import PATTERNS, assert_close, last_tokens, visibility

DEVICE = "cuda"
TOLERANCE = {torch.float32: 1e-5, torch.float16: 3e-3, torch.bfloat16: 2e-2}
LENGTHS = [0, 1, 17, 129, 1023, 64, 0, 333]
LONG = [8192, 0, 1, 3000]
ALPHA, SCALE, EPS = 0.1, 0.01, 1e-6


def count_failed(checks: Mapping[str, Callable[[], object]]) -> int:
    """Runs every comparison, prints which do not hold and why, and says how many.

    What is drawn is fresh each time, and its seed is printed. Fresh memory is NaN meanwhile, so an
    element that no program writes cannot pass.
    """
    seed = random.SystemRandom().randrange(2**32)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=True)
    failed = 0
    for name, check in checks.items():
        try:
            check()
        except Exception as error:  # one kernel that fails should not hide the others
            failed += 1
            print(f"FAILED {name}: {in_a_line(error)}", flush=True)
    torch.use_deterministic_algorithms(False)
    held = len(checks) - failed
    print(f"{held} of {len(checks)} comparisons with float64 hold (seed {seed})", flush=True)
    return failed


def all_checks() -> dict[str, Callable[[], None]]:
    """Every variant is compiled, which takes seconds each: so not the whole product."""
    attention = [*product(PATTERNS, TOLERANCE, [(64, 64)], [LENGTHS])]
    attention += product(["mtgr"], [torch.bfloat16], [(16, 48), (256, 256)], [LENGTHS])
    attention += product(PATTERNS, [torch.bfloat16], [(128, 128)], [LONG])
    queries = [*product(PATTERNS, TOLERANCE, [64]), ("mtgr", torch.bfloat16, 256)]
    norms = product(TOLERANCE, (48, 512), (False, True))
    projections = product(TOLERANCE, [512, 40], [[512] * 4, [96, 7]])
    return {
        **{f"attention {case}": partial(check_attention, *case) for case in attention},
        **{f"queries apart {case}": partial(check_queries, *case) for case in queries},
        **{f"group norm {case}": partial(check_norm, *case) for case in norms},
        **{f"linear_silu {case}": partial(check_linear_silu, *case) for case in projections},
        "jagged concat": check_jagged_concat,
        "the same bits alone and among others": check_same_bits,
        "a CUDA graph": check_graph,
    }


def check_attention(
    pattern: str, dtype: torch.dtype, dims: tuple[int, int], lengths: list[int]
) -> None:
    Dqk, Dv = dims
    integers = visibility(pattern, lengths, torch.default_generator).to(DEVICE)
    q, k, v = (_normal(sum(lengths), 2, D, dtype=dtype) for D in (Dqk, Dqk, Dv))
    do = torch.randn_like(v)
    exact = [x.detach().double().requires_grad_() for x in (q, k, v)]
    o = hstu_attention(q, k, v, *integers, alpha=ALPHA, scale=SCALE)
    expected = attention_reference(
        exact[0], exact[1], exact[2], *integers, alpha=ALPHA, scale=SCALE
    )
    _compare(o, expected, [q, k, v], exact, do, SCALE)


def check_queries(pattern: str, dtype: torch.dtype, dim: int) -> None:
    """The last tokens of each sequence ask. Behind the last sequence lie rows of nobody, full of
    NaN, whose results and gradients are zeros."""
    behind, nan = 70, float("nan")
    integers = visibility(pattern, LENGTHS, torch.default_generator).to(DEVICE)
    counts = [length * 2 // 3 for length in LENGTHS]
    rows_Q, query_offsets = last_tokens(integers.offsets.cpu(), counts).to(DEVICE)
    offsets, end, start = integers.of(rows_Q)
    Q, T = len(rows_Q), sum(LENGTHS)
    exact = [_normal(n, 2, dim, dtype=dtype).detach().double().requires_grad_() for n in (Q, T, T)]
    do = torch.randn(Q, 2, dim, device=DEVICE, dtype=dtype)

    def longer(x: Tensor, value: float) -> Tensor:
        return torch.cat([x, x.new_full((behind, *x.shape[1:]), value)])

    q, k, v = (longer(x.detach().to(dtype), nan).requires_grad_() for x in exact)
    o = hstu_attention(
        q,
        k,
        v,
        offsets,
        longer(end, 7),
        None if start is None else longer(start, 7),
        query_offsets=query_offsets,
        alpha=ALPHA,
        scale=SCALE,
    )
    found = [o, *torch.autograd.grad(o, (q, k, v), longer(do, nan))]
    expected = attention_reference(
        exact[0],
        exact[1],
        exact[2],
        offsets,
        end,
        start,
        query_offsets=query_offsets,
        alpha=ALPHA,
        scale=SCALE,
    )
    wanted = [expected, *torch.autograd.grad(expected, exact, do.double())]
    for got, want in zip(found, wanted, strict=True):
        assert_close(got[: len(want)], want, TOLERANCE[dtype], SCALE)
        assert (got[len(want) :] == 0).all(), "rows behind the last sequence are not zero"


def check_norm(dtype: torch.dtype, D: int, gated: bool) -> None:
    T, G = 1000, 4
    x, u = (_normal(T, D, dtype=dtype) for _ in range(2))
    weight, bias = (_normal(G, D, dtype=torch.float32) for _ in range(2))
    group = torch.randint(G, (T,), device=DEVICE)
    ex, eu, ew, eb = (t.detach().double().requires_grad_() for t in (x, u, weight, bias))
    expected = group_layer_norm_reference(ex * eu if gated else ex, group, ew, eb, eps=EPS)
    if gated:
        y = gated_group_layer_norm(x, u, group, weight, bias, eps=EPS)
        _compare(y, expected, [x, u, weight, bias], [ex, eu, ew, eb], torch.randn_like(y), 1.0)
    else:
        y = group_layer_norm(x, group, weight, bias, eps=EPS)
        _compare(y, expected, [x, weight, bias], [ex, ew, eb], torch.randn_like(y), 1.0)


def check_linear_silu(dtype: torch.dtype, K: int, widths: list[int]) -> None:
    x, weight = _normal(1000, K, dtype=dtype), _normal(sum(widths), K, dtype=dtype)
    bias = _normal(sum(widths), dtype=dtype)
    exact = [t.detach().double().requires_grad_() for t in (x, weight, bias)]
    parts = linear_silu(x, weight, bias, widths)
    expected = linear_silu_reference(exact[0], exact[1], exact[2], widths)
    # Sums of K products, of which many cancel.
    size = K**0.5
    y, wanted = torch.cat(parts, 1), torch.cat(expected, 1)
    _compare(y, wanted, [x, weight, bias], exact, torch.randn_like(y), size)


def check_jagged_concat() -> None:
    lengths = [LENGTHS, LENGTHS[::-1], [3] * len(LENGTHS)]
    offsets = [torch.tensor([0, *each], device=DEVICE).cumsum(0) for each in lengths]
    parts = [torch.randn(sum(each), 96, device=DEVICE) for each in lengths]
    x_TD = jagged_concat(parts, offsets)
    assert torch.equal(x_TD, jagged_concat_reference(parts, offsets)), "not the parts' tokens"
    for part, back in zip(parts, jagged_split(x_TD, offsets, list(map(len, parts))), strict=True):
        assert torch.equal(part, back), "a part did not come back"


def check_graph() -> None:
    """A captured graph follows the batch that is written into its buffers."""
    generator = torch.default_generator
    batches = [visibility("mtgr", each, generator) for each in (LENGTHS, LENGTHS[::-1])]
    buffers, other = (batch.to(DEVICE) for batch in batches)
    group = torch.randint(4, (sum(LENGTHS),), device=DEVICE)
    x, weight, gain = (torch.randn(n, 256, device=DEVICE).half() for n in (len(group), 1024, 4))
    bias = torch.zeros(1024, device=DEVICE).half()

    def layer() -> Tensor:
        u, *qkv = linear_silu(group_layer_norm(x, group, gain, gain), weight, bias, [256] * 4)
        q, k, v = (part.unflatten(1, (2, 128)) for part in qkv)
        o = hstu_attention(q, k, v, *buffers, alpha=ALPHA, scale=SCALE).flatten(1)
        return gated_group_layer_norm(o, u, group, gain, gain)

    with torch.inference_mode():
        layer()  # compiles what a capture may not
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            captured = layer()
        for buffer, value in zip(buffers, other, strict=True):
            if buffer is not None and value is not None:
                buffer.copy_(value)
        graph.replay()
        assert torch.equal(captured, layer()), "a replayed graph differs from its operators"


def check_same_bits() -> None:
    """A sequence's results do not depend on its neighbours, nor on the run."""
    integers = visibility("mtgr", LENGTHS, torch.default_generator).to(DEVICE)
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
    alone = both(slice(first, last), torch.tensor([0, last - first], device=DEVICE))
    for x, y in zip(alone, together, strict=True):
        assert torch.equal(x, y[first:last]), "a sequence alone differs from it among others"


def _normal(*shape: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(shape, device=DEVICE, dtype=dtype, requires_grad=True)


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
