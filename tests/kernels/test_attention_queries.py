"""HSTU attention on CPUs of queries apart from keys, of rows of nobody, and how it is planned."""

import pytest
import torch
from hstu_kernels import hstu_attention
from hstu_kernels.attention_cpu_plan import (
    BLOCK_ROWS,
    STEP,
    Group,
    Long,
    Plan,
    make_plan,
    plan_for,
)
from hstu_kernels.attention_reference import attention_reference
from hstu_kernels.testing import PATTERNS, Visibility, assert_close, last_tokens
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ..effort import examples
from .test_attention import ALPHA, LENGTH, LENGTHS, SCALE, TOLERANCE, draw, leaves, see


@settings(max_examples=examples(80), deadline=None)
@given(
    sequences=st.lists(
        LENGTH.flatmap(lambda length: st.tuples(st.just(length), st.integers(0, length))),
        max_size=5,
    ),
    behind=st.sampled_from([0, 1, 70]),
    pattern=st.sampled_from(PATTERNS),
    dims=st.sampled_from([(16, 16), (24, 48)]),
    dtype=st.sampled_from(list(TOLERANCE)),
    seed=st.integers(0, 1000),
)
def test_the_last_tokens_alone_are_as_among_all(
    *,
    sequences: list[tuple[int, int]],
    behind: int,
    pattern: str,
    dims: tuple[int, int],
    dtype: torch.dtype,
    seed: int,
) -> None:
    """Queries of the last tokens of each sequence give what these have among all, and gradients of
    keys and values too; rows behind the last sequence hold NaN and give zeros."""
    lengths = [length for length, _ in sequences]
    offsets, end, start = see(pattern, lengths, seed)
    queries = last_tokens(offsets, [count for _, count in sequences])
    rows_Q, T = queries.rows_Q, sum(lengths)
    all_of = draw(T, 2, *dims, dtype, seed=seed)
    exact = leaves(*all_of, torch.float64)
    among = attention_reference(*exact, offsets, end, start, alpha=ALPHA, scale=SCALE)[rows_Q]
    grad = torch.randn_like(among)
    dq, dk, dv = torch.autograd.grad(among, exact, grad.to(dtype).double())

    def longer(x: Tensor, value: float) -> Tensor:
        x = x.detach()
        return torch.cat([x, x.new_full((behind, *x.shape[1:]), value)])

    nan = float("nan")
    q, k, v = (longer(x, nan).requires_grad_() for x in (all_of[0][rows_Q], *all_of[1:]))
    found = hstu_attention(
        q,
        k,
        v,
        offsets,
        longer(end[rows_Q], 7),
        None if start is None else longer(start[rows_Q], 7),
        query_offsets=queries.offsets,
        alpha=ALPHA,
        scale=SCALE,
    )
    gradients = torch.autograd.grad(found, (q, k, v), longer(grad.to(dtype), nan))
    for got, wanted in zip((found, *gradients), (among, dq[rows_Q], dk, dv), strict=True):
        assert_close(got[: len(wanted)], wanted, TOLERANCE[dtype], size=SCALE)
        assert len(got) == len(wanted) + behind
        assert (got[len(wanted) :] == 0).all()


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_definition_of_the_last_tokens_is_that_of_all(pattern: str) -> None:
    offsets, end, start = see(pattern, [3, 0, 9])
    rows, query_offsets = last_tokens(offsets, [2, 0, 5])
    q, k, v = draw(12, 2, 16, 16, torch.float64, seed=0)
    whole = attention_reference(q, k, v, offsets, end, start, alpha=ALPHA, scale=SCALE)
    visible = Visibility(offsets, end, start).of(rows)
    apart = attention_reference(
        q[rows], k, v, *visible, query_offsets=query_offsets, alpha=ALPHA, scale=SCALE
    )
    assert_close(apart, whole[rows], 1e-12)


@pytest.mark.parametrize("length", [60, 600])
def test_what_is_not_finite_in_a_candidate_stays_in_it(length: int) -> None:
    """Short sequences are multiplied together, long ones in blocks."""
    offsets, end, _ = see("mtgr", [length])
    for bad in (float("nan"), float("inf"), 1e30):
        q, k, v = draw(length, 2, 16, 16, torch.float32, seed=2)
        with torch.no_grad():
            for x in (q, k, v):
                x[length - 3] = bad
        o_THD = hstu_attention(q, k, v, offsets, end, alpha=ALPHA, scale=SCALE)
        others = torch.arange(length) != length - 3
        assert torch.isfinite(o_THD[others]).all()
        (dq,) = torch.autograd.grad(o_THD[others].sum(), q)
        assert torch.isfinite(dq[others]).all()


def plan_of(integers: Visibility) -> Plan:
    """For one head."""
    offsets, end, start = integers
    return make_plan(offsets, offsets, end, start, keys=len(end), heads=1)


def blocks_area(plan: Plan) -> int:
    """Scores that the blocks of long sequences compute."""
    blocks = (block for piece in plan.pieces if isinstance(piece, Long) for block in piece.blocks)
    return sum(block.rows * block.columns for block in blocks)


@settings(max_examples=examples(40), deadline=None)
@given(lengths=LENGTHS, pattern=st.sampled_from(PATTERNS), seed=st.integers(0, 1000))
def test_work_is_bounded_by_what_is_visible(lengths: list[int], pattern: str, seed: int) -> None:
    integers = see(pattern, lengths, seed)
    plan = plan_of(integers)
    # In these patterns a block's rows see at most about a block more or less than each other.
    assert blocks_area(plan) <= integers.pairs() + 2 * BLOCK_ROWS * sum(lengths)
    short = sum(piece.query_GL.numel() for piece in plan.pieces if isinstance(piece, Group))
    assert short <= sum(length + STEP for length in lengths)


def test_thousands_of_candidates_cost_what_they_see() -> None:
    """8,192 candidates of one user: a square of them would be 268 million scores."""
    static = torch.full((64,), 64)
    end = torch.cat([static, torch.full((8192,), 64)])
    plan = plan_of(Visibility(torch.tensor([0, len(end)]), end, None))
    assert blocks_area(plan) == 64 * len(end)


def test_a_plan_is_made_once_for_the_same_integers_and_anew_for_others() -> None:
    """Also where they are others in the same memory."""
    offsets, queries = torch.tensor([0, 3, 5]), torch.tensor([0, 1, 2])
    end, ends = torch.tensor([1, 2, 3, 1, 2]), torch.tensor([3, 2])
    whole = plan_for(offsets, offsets, end, None, 5, 2)
    last = plan_for(offsets, queries, ends, None, 5, 2)
    with torch.inference_mode():
        assert plan_for(offsets.clone(), offsets, end.clone(), None, 5, 2) is whole
        assert plan_for(offsets, queries, ends, None, 5, 2) is last
    others = [
        (offsets, offsets, end, None, 6, 2),
        (offsets, offsets, end, None, 5, 3),
        (offsets, offsets, end.int(), None, 5, 2),
        (offsets, offsets, end, torch.zeros_like(end), 5, 2),
    ]
    for other in others:
        assert plan_for(*other) is not whole
    plan_for(offsets, offsets, end, None, 5, 2)
    end[0] = 3
    assert plan_for(offsets, offsets, end, None, 5, 2).end.tolist() == [3, 2, 3, 4, 5]
