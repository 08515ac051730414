# Triton reads a kernel's annotations as its own, so kernels have none for mypy.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"

"""HSTU attention on GPUs, forward: a program owns a block of query rows of one head.

The queries are the last tokens of each sequence, or all: a query's own key stands as far behind it
as the sequence has keys before its queries.

A program's work follows from the block's integers and its own sequence alone: it walks the keys
between the smallest start and the largest end of its rows, and adds each row's view of itself,
where that lies outside, as an elementwise product. So results are the same bits alone and among
others, and candidates never meet each other.
"""

import triton
import triton.language as tl
from torch import Tensor

from .layout import rows_whole
from .triton_blocks import (
    PRECISION,
    dot_rows,
    load_rows,
    locate,
    rows_of,
    silu_of_twice,
    steps_of_block,
    store_rows,
    visible_range,
)
from .tuning import Config, best_config


@triton.jit
def _attend(
    acc, q, k_ptr, v_ptr, stride_k, stride_v, low, high, start, end, length, half_alpha,
    DQK: tl.constexpr, DV: tl.constexpr, BLOCK_DQK: tl.constexpr, BLOCK_DV: tl.constexpr,
    BLOCK_N: tl.constexpr, MASKED: tl.constexpr,
):  # fmt: skip
    for n in range(low, high, BLOCK_N):
        col = n + tl.arange(0, BLOCK_N)
        k = load_rows(k_ptr, stride_k, col, length, DQK, BLOCK_DQK, MASKED)
        half_score = half_alpha * tl.dot(q, tl.trans(k), input_precision=PRECISION)
        weight = silu_of_twice(half_score, q.dtype != tl.float32)
        if MASKED:
            seen = (col[None, :] >= start[:, None]) & (col[None, :] < end[:, None])
            weight = tl.where(seen, weight, 0.0)
        v = load_rows(v_ptr, stride_v, col, length, DV, BLOCK_DV, MASKED)
        acc = tl.dot(weight.to(v.dtype), v, acc, input_precision=PRECISION)
    return acc


@triton.jit(do_not_specialize=["B", "Q", "T"])
def _forward_kernel(
    q_ptr, k_ptr, v_ptr, o_ptr, offsets_ptr, query_offsets_ptr, end_ptr, start_ptr,
    B, Q, T, alpha, scale,
    stride_qt, stride_qh, stride_kt, stride_kh, stride_vt, stride_vh, stride_ot, stride_oh,
    HAS_START: tl.constexpr, DQK: tl.constexpr, DV: tl.constexpr,
    BLOCK_DQK: tl.constexpr, BLOCK_DV: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    head = tl.program_id(1)
    # From the back: where tokens see what came before them, the last blocks have the most to do,
    # and what starts late should end soon.
    slot = tl.num_programs(0) - 1 - tl.program_id(0)
    sequence, block = locate(slot, query_offsets_ptr, B, BLOCK_M)
    first_q, queries, written = rows_of(sequence, query_offsets_ptr, B, Q)
    if block * BLOCK_M >= written:
        return
    first, keys, _ = rows_of(sequence, offsets_ptr, B, T)
    q_ptr += first_q * stride_qt + head * stride_qh
    k_ptr += first * stride_kt + head * stride_kh
    v_ptr += first * stride_vt + head * stride_vh
    o_ptr += first_q * stride_ot + head * stride_oh

    row = block * BLOCK_M + tl.arange(0, BLOCK_M)
    inside = row < queries
    start, end = visible_range(row, first_q, queries, keys, end_ptr, start_ptr, HAS_START)
    first_n, whole_n, rest_n, high_n = steps_of_block(inside, start, end, keys, BLOCK_N)

    q = load_rows(q_ptr, stride_qt, row, queries, DQK, BLOCK_DQK, True)
    half_alpha = 0.5 * alpha
    acc = tl.zeros([BLOCK_M, BLOCK_DV], dtype=tl.float32)
    if HAS_START:
        acc = _attend(
            acc, q, k_ptr, v_ptr, stride_kt, stride_vt, first_n, whole_n, start, end, keys,
            half_alpha, DQK, DV, BLOCK_DQK, BLOCK_DV, BLOCK_N, True,
        )  # fmt: skip
    acc = _attend(
        acc, q, k_ptr, v_ptr, stride_kt, stride_vt, whole_n, rest_n, start, end, keys,
        half_alpha, DQK, DV, BLOCK_DQK, BLOCK_DV, BLOCK_N, False,
    )  # fmt: skip
    acc = _attend(
        acc, q, k_ptr, v_ptr, stride_kt, stride_vt, rest_n, high_n, start, end, keys,
        half_alpha, DQK, DV, BLOCK_DQK, BLOCK_DV, BLOCK_N, True,
    )  # fmt: skip

    own = row + keys - queries
    outside = inside & ((own < start) | (own >= end))
    if tl.max(outside.to(tl.int32)) > 0:
        half_score = half_alpha * dot_rows(
            q_ptr, stride_qt, row, k_ptr, stride_kt, own, inside, DQK, BLOCK_DQK, BLOCK_M
        )
        weight = tl.where(outside, silu_of_twice(half_score, False), 0.0)
        acc += weight[:, None] * load_rows(v_ptr, stride_vt, own, keys, DV, BLOCK_DV, True)
    acc = tl.where(inside[:, None], scale * acc, 0.0)
    store_rows(o_ptr, stride_ot, row, written, acc, DV, BLOCK_DV)


def attention_forward(
    q_QHD: Tensor,
    k_THD: Tensor,
    v_THD: Tensor,
    offsets: Tensor,
    query_offsets: Tensor,
    visible_end: Tensor,
    visible_start: Tensor | None,
    alpha: float,
    scale: float,
    config: Config | None = None,
) -> Tensor:
    Q, H, Dqk = q_QHD.shape
    T, _, Dv = v_THD.shape
    B = offsets.shape[0] - 1
    config = config or best_config("forward", q_QHD.device, q_QHD.dtype, Dqk, Dv)
    q_QHD, k_THD, v_THD = (rows_whole(x) for x in (q_QHD, k_THD, v_THD))
    if Q == 0 or B == 0:
        return v_THD.new_zeros(Q, H, Dv)
    o_QHD = v_THD.new_empty(Q, H, Dv)
    _forward_kernel[(Q // config.block_m + B, H)](
        q_QHD, k_THD, v_THD, o_QHD, offsets, query_offsets,
        visible_end.contiguous(), contiguous_or(visible_start, visible_end),
        B, Q, T, alpha, scale,
        *q_QHD.stride()[:2], *k_THD.stride()[:2], *v_THD.stride()[:2], *o_QHD.stride()[:2],
        HAS_START=visible_start is not None,
        **dims(Dqk, Dv),
        **config.launch(),
    )  # fmt: skip
    return o_QHD


def contiguous_or(integers: Tensor | None, other: Tensor) -> Tensor:
    """A kernel's pointer that is never read still has to be one."""
    return other if integers is None else integers.contiguous()


def dims(Dqk: int, Dv: int) -> dict[str, int]:
    return {
        "DQK": Dqk,
        "DV": Dv,
        "BLOCK_DQK": triton.next_power_of_2(Dqk),
        "BLOCK_DV": triton.next_power_of_2(Dv),
    }
