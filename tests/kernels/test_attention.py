"""HSTU attention on CPUs against its float64 definition, on ragged batches."""

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from hstu_kernels import hstu_attention
from hstu_kernels.attention_reference import attention_reference
from hstu_kernels.testing import PATTERNS, Visibility, assert_close, visibility
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import silu
from torch.utils.checkpoint import checkpoint

from ..effort import examples

TOLERANCE = {torch.float64: 1e-11, torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}
LENGTH = st.sampled_from([0, 1, 2, 17, 60, 128, 129, 300, 1023])
LENGTHS = st.lists(LENGTH, max_size=5)
ALPHA, SCALE = 0.2, 0.1


def draw(
    T: int, H: int, Dqk: int, Dv: int, dtype: torch.dtype, *, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    """q, k and v."""
    generator = torch.Generator().manual_seed(seed)

    def normal(D: int) -> Tensor:
        x_THD = torch.randn(T, H, D, generator=generator, dtype=torch.float64)
        return x_THD.to(dtype).requires_grad_()

    return normal(Dqk), normal(Dqk), normal(Dv)


def leaves(
    q: Tensor, k: Tensor, v: Tensor, dtype: torch.dtype | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """The same values as tensors of their own, for gradients of their own."""
    q, k, v = (x.detach().to(dtype or x.dtype, copy=True).requires_grad_() for x in (q, k, v))
    return q, k, v


def see(pattern: str, lengths: list[int], seed: int = 0) -> Visibility:
    return visibility(pattern, lengths, torch.Generator().manual_seed(seed))


@settings(max_examples=examples(120), deadline=None)
@given(
    lengths=LENGTHS,
    pattern=st.sampled_from(PATTERNS),
    heads=st.integers(1, 3),
    dims=st.sampled_from([(16, 16), (24, 48), (64, 16), (256, 128)]),
    dtype=st.sampled_from(list(TOLERANCE)),
    narrow=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_forward_and_gradients_match_the_definition(
    *,
    lengths: list[int],
    pattern: str,
    heads: int,
    dims: tuple[int, int],
    dtype: torch.dtype,
    narrow: bool,
    seed: int,
) -> None:
    offsets, end, start = see(pattern, lengths, seed)
    inputs = draw(sum(lengths), heads, *dims, dtype, seed=seed)
    exact = leaves(*inputs, torch.float64)
    if narrow:
        end, start = end.int(), None if start is None else start.int()
    expected = attention_reference(*exact, offsets, end, start, alpha=ALPHA, scale=SCALE)
    actual = hstu_attention(*inputs, offsets, end, start, alpha=ALPHA, scale=SCALE)
    assert actual.dtype == dtype
    assert_close(actual, expected, TOLERANCE[dtype], size=SCALE)
    grad = torch.randn_like(expected)
    actual_grads = torch.autograd.grad(actual, inputs, grad.to(dtype))
    expected_grads = torch.autograd.grad(expected, exact, grad.to(dtype).double())
    for got, wanted in zip(actual_grads, expected_grads, strict=True):
        assert got.dtype == dtype
        assert_close(got, wanted, TOLERANCE[dtype], size=SCALE)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_definition_has_the_gradients_of_finite_differences(pattern: str) -> None:
    integers = see(pattern, [0, 1, 7])
    inputs = draw(8, 2, 3, 4, torch.float64, seed=0)
    assert torch.autograd.gradcheck(
        lambda q, k, v: attention_reference(q, k, v, *integers, alpha=0.7, scale=0.3), inputs
    )


def test_a_token_sees_its_prefix_and_itself_once() -> None:
    """By hand: three tokens of ones; the score is 16 a, the value 1."""
    ones = torch.ones(3, 1, 16)
    o_THD = hstu_attention(
        ones, ones, ones, torch.tensor([0, 3]), torch.tensor([3, 0, 1]), alpha=1 / 16, scale=1.0
    )
    silu_of_one = 1 / (1 + torch.exp(torch.tensor(-1.0)))
    torch.testing.assert_close(o_THD[:, 0, 0], silu_of_one * torch.tensor([3.0, 1.0, 2.0]))


@pytest.mark.parametrize("sequences", [0, 3])
def test_no_tokens(sequences: int) -> None:
    inputs = draw(0, 2, 16, 32, torch.float32, seed=0)
    offsets, nothing = torch.zeros(sequences + 1, dtype=torch.int64), torch.empty(0).long()
    o_THD = hstu_attention(*inputs, offsets, nothing, alpha=ALPHA, scale=SCALE)
    assert o_THD.shape == (0, 2, 32)
    o_THD.sum().backward()
    assert [list(x.grad.shape) for x in inputs if x.grad is not None] == [
        [0, 2, 16],
        [0, 2, 16],
        [0, 2, 32],
    ]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_sequence_has_the_same_result_alone_and_among_others(pattern: str) -> None:
    lengths = [17, 300, 0, 60, 129, 1, 33, 250]
    offsets, end, start = see(pattern, lengths)
    inputs = draw(sum(lengths), 2, 32, 16, torch.float32, seed=1)
    grad = torch.randn(sum(lengths), 2, 16)
    together = hstu_attention(*inputs, offsets, end, start, alpha=ALPHA, scale=SCALE)
    grads_together = torch.autograd.grad(together, inputs, grad)
    for first, last in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        q, k, v = (x[first:last] for x in inputs)
        own = leaves(q, k, v)
        own_start = None if start is None else start[first:last]
        alone = hstu_attention(
            *own,
            torch.tensor([0, last - first]),
            end[first:last],
            own_start,
            alpha=ALPHA,
            scale=SCALE,
        )
        assert_close(alone, together[first:last], 1e-6, size=SCALE)
        grads_alone = torch.autograd.grad(alone, own, grad[first:last])
        for got, wanted in zip(grads_alone, grads_together, strict=True):
            assert_close(got, wanted[first:last], 1e-6, size=SCALE)


@pytest.mark.parametrize("length", [100, 600])
def test_candidates_do_not_touch_each_other(length: int) -> None:
    offsets, end, _ = see("mtgr", [length])
    q, k, v = (x.detach() for x in draw(length, 2, 16, 16, torch.float32, seed=2))
    before = hstu_attention(q, k, v, offsets, end, alpha=ALPHA, scale=SCALE)
    changed = length - 3
    k[changed], v[changed] = 100.0, -100.0
    after = hstu_attention(q, k, v, offsets, end, alpha=ALPHA, scale=SCALE)
    others = torch.arange(length) != changed
    assert torch.equal(before[others], after[others])
    assert not torch.equal(before[changed], after[changed])


def test_views_of_one_projection() -> None:
    """A layer cuts q, k and v out of one product; their rows are not next to each other."""
    lengths = [40, 200]
    integers = see("mtgr", lengths)
    wide = torch.randn(sum(lengths), 2 * (16 + 16 + 32), requires_grad=True)
    q, k, v = (x.unflatten(1, (2, -1)) for x in wide.split([2 * 16, 2 * 16, 2 * 32], dim=1))
    whole = leaves(q, k, v)
    o_THD = hstu_attention(q, k, v, *integers, alpha=ALPHA, scale=SCALE)
    expected = hstu_attention(*whole, *integers, alpha=ALPHA, scale=SCALE)
    assert_close(o_THD, expected, 1e-6, size=SCALE)
    # An expanded gradient has no memory layout of its own either.
    o_THD.sum().backward()
    expected.sum().backward()
    together = torch.cat([x.grad.flatten(1) for x in whole if x.grad is not None], dim=1)
    assert wide.grad is not None
    assert_close(wide.grad, together, 1e-6, size=SCALE)


def test_one_batch_of_the_shortest_and_the_longest() -> None:
    """Every row is checked; of the longest sequence's a few, the definition being a square."""
    lengths = [1, 8192, 0, 1023, 1]
    offsets, end, _ = see("mtgr", lengths)
    inputs = draw(sum(lengths), 1, 16, 16, torch.float32, seed=7)
    o_THD = hstu_attention(*inputs, offsets, end, alpha=ALPHA, scale=SCALE)
    q, k, v = (x.detach().double() for x in inputs)
    for first, last in pairwise(offsets.tolist()):
        rows = torch.arange(first, last, max(1, (last - first) // 500))
        score_NM = ALPHA * q[rows, 0] @ k[first:last, 0].T
        column = torch.arange(first, last)
        seen_NM = (column < first + end[rows, None]) | (column == rows[:, None])
        expected = SCALE * (silu(score_NM) * seen_NM) @ v[first:last, 0]
        assert_close(o_THD[rows, 0], expected, TOLERANCE[torch.float32], size=SCALE)


def test_half_precision_under_autocast() -> None:
    inputs = draw(50, 2, 16, 16, torch.float32, seed=3)
    integers = see("causal", [50])
    with torch.autocast("cpu", torch.bfloat16):
        o_THD = hstu_attention(*inputs, *integers, alpha=ALPHA, scale=SCALE)
    assert o_THD.dtype == torch.bfloat16
    o_THD.sum().backward()
    assert all(x.grad is not None and x.grad.dtype == torch.float32 for x in inputs)


def test_autocast_leaves_the_body_alone() -> None:
    """Called below autocast, float64 stays float64, forward and backward."""
    inputs = draw(200, 1, 16, 16, torch.float64, seed=4)
    integers = see("mtgr", [200])
    plain = hstu_attention(*inputs, *integers, alpha=ALPHA, scale=SCALE)
    plain_grads = torch.autograd.grad(plain.sum(), inputs)
    with torch.autocast("cpu", torch.bfloat16):
        cast = hstu_attention(*inputs, *integers, alpha=ALPHA, scale=SCALE)
        cast_grads = torch.autograd.grad(cast.sum(), inputs)
    assert torch.equal(plain, cast)
    assert all(torch.equal(a, b) for a, b in zip(plain_grads, cast_grads, strict=True))


def attend(integers: Visibility) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """What a layer calls."""
    return lambda q, k, v: hstu_attention(q, k, v, *integers, alpha=ALPHA, scale=SCALE)


@pytest.mark.parametrize("reentrant", [False, True])
def test_recomputing_under_checkpoint_changes_nothing(reentrant: bool) -> None:
    lengths = [40, 0, 200]
    layer, do = attend(see("mtgr", lengths)), torch.randn(240, 2, 16)
    inputs = draw(240, 2, 16, 16, torch.float32, seed=8)
    plain = torch.autograd.grad(layer(*inputs), inputs, do)
    recomputed = leaves(*inputs)
    checkpoint(layer, *recomputed, use_reentrant=reentrant).backward(do)
    for got, wanted in zip(recomputed, plain, strict=True):
        assert got.grad is not None
        assert torch.equal(got.grad, wanted)


def test_compiled_it_is_the_same() -> None:
    """As one graph; the second batch, of other lengths, is compiled as any batch."""
    compiled = torch.compile(
        lambda q, k, v, *integers: attend(Visibility(*integers))(q, k, v),
        backend="aot_eager",
        fullgraph=True,
    )
    for lengths in ([40, 0, 200], [7, 150]):
        integers = see("mtgr", lengths)
        inputs = draw(sum(lengths), 2, 16, 16, torch.float32, seed=9)
        expected, actual = attend(integers)(*inputs), compiled(*inputs, *integers)
        assert torch.equal(actual, expected)
        expected_grads = torch.autograd.grad(expected.sin().sum(), inputs)
        actual_grads = torch.autograd.grad(actual.sin().sum(), inputs)
        assert all(torch.equal(a, b) for a, b in zip(actual_grads, expected_grads, strict=True))


@pytest.mark.parametrize("pattern", ["mtgr", "window"])
def test_is_a_well_behaved_torch_operator(pattern: str) -> None:
    inputs = draw(40, 2, 16, 24, torch.float32, seed=5)
    offsets, end, start = see(pattern, [0, 10, 30])
    arguments = (*inputs, offsets, offsets, end, start, ALPHA, SCALE)
    torch.library.opcheck(torch.ops.hstu.attention.default, arguments)


def good() -> dict[str, Tensor]:
    q, k, v = (x.detach() for x in draw(5, 2, 16, 16, torch.float32, seed=6))
    return {
        "q_QHD": q,
        "k_THD": k,
        "v_THD": v,
        "offsets": torch.tensor([0, 2, 5]),
        "visible_end": torch.tensor([1, 2, 1, 2, 3]),
        "visible_start": torch.zeros(5, dtype=torch.int64),
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"q_QHD": torch.zeros(5, 32)}, "q must be"),
        ({"k_THD": torch.zeros(5, 2, 16, dtype=torch.bfloat16)}, "share one floating dtype"),
        ({"k_THD": torch.zeros(5, 2, 32)}, "q and k must share heads and dim"),
        ({"v_THD": torch.zeros(5, 1, 16)}, "v must have k's tokens and heads"),
        ({"q_QHD": torch.zeros(4, 2, 16)}, "4 queries of 5 tokens: query_offsets must say whose"),
        ({"query_offsets": torch.tensor([0, 3, 5])}, "sequence 0 has 3 queries, but only 2 keys"),
        ({"query_offsets": torch.tensor([0, 5])}, "query_offsets must be of offsets' 2 sequences"),
        ({"query_offsets": torch.tensor([0, 2, 6])}, "query_offsets must rise from 0 to at most"),
        ({"query_offsets": torch.tensor([0, 2.0, 5])}, "query_offsets must be int64"),
        ({"v_THD": torch.zeros(5, 2, 300)}, "v's dim must lie in 16..256"),
        ({"offsets": torch.tensor([0.0, 5.0])}, "offsets must be int64"),
        ({"offsets": torch.empty(0, dtype=torch.int64)}, "offsets must be int64"),
        ({"offsets": torch.tensor([0, 6])}, "offsets must rise from 0 to at most the number of ro"),
        ({"offsets": torch.tensor([1, 5])}, "offsets must rise"),
        ({"offsets": torch.tensor([0, 4, 3, 5])}, "fall in between"),
        ({"visible_end": torch.zeros(4, dtype=torch.int64)}, "visible_end must be"),
        ({"visible_end": torch.zeros(5)}, "visible_end must be"),
        ({"visible_end": torch.tensor([1, 3, 1, 2, 3])}, r"query 1 sees \[0, 3\)"),
        ({"visible_start": torch.tensor([0, 0, -1, 0, 0])}, r"query 2 sees \[-1, 1\)"),
        ({"visible_start": torch.zeros(1, dtype=torch.int64)}, "visible_start must be"),
        ({"offsets": torch.empty(3, dtype=torch.int64, device="meta")}, "is on meta"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Tensor], message: str) -> None:
    hstu_attention(**good(), alpha=ALPHA, scale=SCALE)
    with pytest.raises(ValueError, match=message):
        hstu_attention(**(good() | change), alpha=ALPHA, scale=SCALE)
