# Triton reads a kernel's annotations as its own, so kernels have none for mypy.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"

"""HSTU attention on GPUs, backward, without atomics: a program owns what it writes.

dq: a block of query rows walks the keys it sees, as forward does. dk and dv: a block of keys walks
the query blocks that see any of it. Which those are it reads from four integers per query block,
the keys that some and that all of its rows see (`_ranges_kernel`); it takes them run by run, so
what lies between two runs costs nothing, and what is seen whole is not masked. Sums have one
order, so gradients are the same every time.

With score s_ij = alpha q_i.k_j forward is o_i = scale sum_j silu(s_ij) v_j, over what i sees, so

    dv_j = scale sum_i silu(s_ij) do_i
    ds_ij = scale silu'(s_ij) do_i.v_j
    dq_i = alpha sum_j ds_ij k_j        dk_j = alpha sum_i ds_ij q_i

Scores are computed again, as alpha / 2 times the product, which is what silu by the tangent takes;
its slope comes twice as large, and alpha / 2 and scale are multiplied in once, at the end.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from .attention_triton import contiguous_or, dims
from .layout import rows_whole
from .triton_blocks import (
    PRECISION,
    dot_rows,
    first_slot,
    keys_of_block,
    load_rows,
    locate,
    rows_of,
    silu_and_twice_slope,
    steps_of_block,
    store_rows,
    visible_range,
)
from .tuning import Config, best_config

# Query blocks whose integers a key block looks at together.
CHUNK = 128


@triton.jit
def _dq_of_keys(
    dq, q, do, k_ptr, v_ptr, stride_k, stride_v, low, high, start, end, length, half_alpha,
    DQK: tl.constexpr, DV: tl.constexpr, BLOCK_DQK: tl.constexpr, BLOCK_DV: tl.constexpr,
    BLOCK_N: tl.constexpr, MASKED: tl.constexpr,
):  # fmt: skip
    for n in range(low, high, BLOCK_N):
        col = n + tl.arange(0, BLOCK_N)
        k = load_rows(k_ptr, stride_k, col, length, DQK, BLOCK_DQK, MASKED)
        v = load_rows(v_ptr, stride_v, col, length, DV, BLOCK_DV, MASKED)
        half_score = half_alpha * tl.dot(q, tl.trans(k), input_precision=PRECISION)
        slope = silu_and_twice_slope(half_score, q.dtype != tl.float32)[1]
        slope *= tl.dot(do, tl.trans(v), input_precision=PRECISION)
        if MASKED:
            seen = (col[None, :] >= start[:, None]) & (col[None, :] < end[:, None])
            slope = tl.where(seen, slope, 0.0)
        dq = tl.dot(slope.to(k.dtype), k, dq, input_precision=PRECISION)
    return dq


@triton.jit(do_not_specialize=["B", "Q", "T"])
def _dq_kernel(
    do_ptr, q_ptr, k_ptr, v_ptr, dq_ptr, offsets_ptr, query_offsets_ptr, end_ptr, start_ptr,
    B, Q, T, alpha, scale,
    stride_dot, stride_doh, stride_qt, stride_qh, stride_kt, stride_kh, stride_vt, stride_vh,
    stride_dqt, stride_dqh,
    HAS_START: tl.constexpr, DQK: tl.constexpr, DV: tl.constexpr,
    BLOCK_DQK: tl.constexpr, BLOCK_DV: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    head = tl.program_id(1)
    slot = tl.num_programs(0) - 1 - tl.program_id(0)  # from the back, as forward
    sequence, block = locate(slot, query_offsets_ptr, B, BLOCK_M)
    first_q, queries, written = rows_of(sequence, query_offsets_ptr, B, Q)
    if block * BLOCK_M >= written:
        return
    first, keys, _ = rows_of(sequence, offsets_ptr, B, T)
    do_ptr += first_q * stride_dot + head * stride_doh
    q_ptr += first_q * stride_qt + head * stride_qh
    k_ptr += first * stride_kt + head * stride_kh
    v_ptr += first * stride_vt + head * stride_vh
    dq_ptr += first_q * stride_dqt + head * stride_dqh

    row = block * BLOCK_M + tl.arange(0, BLOCK_M)
    inside = row < queries
    start, end = visible_range(row, first_q, queries, keys, end_ptr, start_ptr, HAS_START)
    first_n, whole_n, rest_n, high_n = steps_of_block(inside, start, end, keys, BLOCK_N)
    q = load_rows(q_ptr, stride_qt, row, queries, DQK, BLOCK_DQK, True)
    do = load_rows(do_ptr, stride_dot, row, queries, DV, BLOCK_DV, True)
    half_alpha = 0.5 * alpha
    # Twice the gradient, without alpha and scale.
    dq = tl.zeros([BLOCK_M, BLOCK_DQK], dtype=tl.float32)
    if HAS_START:
        dq = _dq_of_keys(
            dq, q, do, k_ptr, v_ptr, stride_kt, stride_vt, first_n, whole_n, start, end, keys,
            half_alpha, DQK, DV, BLOCK_DQK, BLOCK_DV, BLOCK_N, True,
        )  # fmt: skip
    dq = _dq_of_keys(
        dq, q, do, k_ptr, v_ptr, stride_kt, stride_vt, whole_n, rest_n, start, end, keys,
        half_alpha, DQK, DV, BLOCK_DQK, BLOCK_DV, BLOCK_N, False,
    )  # fmt: skip
    dq = _dq_of_keys(
        dq, q, do, k_ptr, v_ptr, stride_kt, stride_vt, rest_n, high_n, start, end, keys,
        half_alpha, DQK, DV, BLOCK_DQK, BLOCK_DV, BLOCK_N, True,
    )  # fmt: skip

    own = row + keys - queries
    outside = inside & ((own < start) | (own >= end))
    if tl.max(outside.to(tl.int32)) > 0:
        half_score = half_alpha * dot_rows(
            q_ptr, stride_qt, row, k_ptr, stride_kt, own, inside, DQK, BLOCK_DQK, BLOCK_M
        )
        slope = silu_and_twice_slope(half_score, False)[1]
        slope *= dot_rows(
            do_ptr, stride_dot, row, v_ptr, stride_vt, own, inside, DV, BLOCK_DV, BLOCK_M
        )
        k = load_rows(k_ptr, stride_kt, own, keys, DQK, BLOCK_DQK, True)
        dq += tl.where(outside, slope, 0.0)[:, None] * k
    # The factors come last, in float32: before, they would push half precision to its small end.
    dq = tl.where(inside[:, None], half_alpha * scale * dq, 0.0)
    store_rows(dq_ptr, stride_dqt, row, written, dq, DQK, BLOCK_DQK)


@triton.jit(do_not_specialize=["B", "Q", "T"])
def _ranges_kernel(
    low_ptr, high_ptr, all_low_ptr, all_high_ptr,
    offsets_ptr, query_offsets_ptr, end_ptr, start_ptr, B, Q, T,
    HAS_START: tl.constexpr, BLOCK_M: tl.constexpr,
):  # fmt: skip
    slot = tl.program_id(0)
    sequence, block = locate(slot, query_offsets_ptr, B, BLOCK_M)
    first_q, queries, _ = rows_of(sequence, query_offsets_ptr, B, Q)
    _, keys, _ = rows_of(sequence, offsets_ptr, B, T)
    row = block * BLOCK_M + tl.arange(0, BLOCK_M)
    start, end = visible_range(row, first_q, queries, keys, end_ptr, start_ptr, HAS_START)
    low, high, all_low, all_high = keys_of_block(row < queries, start, end, keys)
    tl.store(low_ptr + slot, low)
    tl.store(high_ptr + slot, high)
    tl.store(all_low_ptr + slot, all_low)
    tl.store(all_high_ptr + slot, all_high)


@triton.jit
def _dkdv_of_queries(
    dk, dv, k, v, do_ptr, q_ptr, stride_do, stride_q, end_ptr, start_ptr,
    low, high, col, first_q, queries, keys, half_alpha,
    HAS_START: tl.constexpr, DQK: tl.constexpr, DV: tl.constexpr,
    BLOCK_DQK: tl.constexpr, BLOCK_DV: tl.constexpr, BLOCK_M: tl.constexpr, MASKED: tl.constexpr,
):  # fmt: skip
    for m in range(low, high):
        row = m * BLOCK_M + tl.arange(0, BLOCK_M)
        q = load_rows(q_ptr, stride_q, row, queries, DQK, BLOCK_DQK, True)
        do = load_rows(do_ptr, stride_do, row, queries, DV, BLOCK_DV, True)
        # Keys by queries, so that the sums over queries need no transposed scores.
        half_score = half_alpha * tl.dot(k, tl.trans(q), input_precision=PRECISION)
        weight, slope = silu_and_twice_slope(half_score, q.dtype != tl.float32)
        slope *= tl.dot(v, tl.trans(do), input_precision=PRECISION)
        if MASKED:
            start, end = visible_range(row, first_q, queries, keys, end_ptr, start_ptr, HAS_START)
            seen = (col[:, None] >= start[None, :]) & (col[:, None] < end[None, :])
            weight, slope = tl.where(seen, weight, 0.0), tl.where(seen, slope, 0.0)
        dv = tl.dot(weight.to(do.dtype), do, dv, input_precision=PRECISION)
        dk = tl.dot(slope.to(q.dtype), q, dk, input_precision=PRECISION)
    return dk, dv


@triton.jit
def _dkdv_of_own(
    dk, dv, do_ptr, q_ptr, k_ptr, v_ptr, stride_do, stride_q, stride_k, stride_v,
    end_ptr, start_ptr, col, first_q, queries, keys, half_alpha,
    HAS_START: tl.constexpr, DQK: tl.constexpr, DV: tl.constexpr,
    BLOCK_DQK: tl.constexpr, BLOCK_DV: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """What comes of the keys' own queries, where those see them by themselves alone."""
    inside = (col < keys) & (col >= keys - queries)
    row = tl.where(inside, col - (keys - queries), queries)
    start, end = visible_range(row, first_q, queries, keys, end_ptr, start_ptr, HAS_START)
    outside = inside & ((col < start) | (col >= end))
    if tl.max(outside.to(tl.int32)) > 0:
        half_score = half_alpha * dot_rows(
            q_ptr, stride_q, row, k_ptr, stride_k, col, inside, DQK, BLOCK_DQK, BLOCK_N
        )
        weight, slope = silu_and_twice_slope(half_score, False)
        slope *= dot_rows(
            do_ptr, stride_do, row, v_ptr, stride_v, col, inside, DV, BLOCK_DV, BLOCK_N
        )
        q = load_rows(q_ptr, stride_q, row, queries, DQK, BLOCK_DQK, True)
        do = load_rows(do_ptr, stride_do, row, queries, DV, BLOCK_DV, True)
        dk += tl.where(outside, slope, 0.0)[:, None] * q
        dv += tl.where(outside, weight, 0.0)[:, None] * do
    return dk, dv


@triton.jit(do_not_specialize=["B", "Q", "T"])
def _dkdv_kernel(
    do_ptr, q_ptr, k_ptr, v_ptr, dk_ptr, dv_ptr, low_ptr, high_ptr, all_low_ptr, all_high_ptr,
    offsets_ptr, query_offsets_ptr, end_ptr, start_ptr, B, Q, T, alpha, scale,
    stride_dot, stride_doh, stride_qt, stride_qh, stride_kt, stride_kh, stride_vt, stride_vh,
    stride_dkt, stride_dkh, stride_dvt, stride_dvh,
    HAS_START: tl.constexpr, DQK: tl.constexpr, DV: tl.constexpr,
    BLOCK_DQK: tl.constexpr, BLOCK_DV: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
    CHUNK: tl.constexpr,
):  # fmt: skip
    head = tl.program_id(1)
    sequence, key_block = locate(tl.program_id(0), offsets_ptr, B, BLOCK_N)
    first, keys, written = rows_of(sequence, offsets_ptr, B, T)
    key_0 = key_block * BLOCK_N
    if key_0 >= written:
        return
    first_q, queries, _ = rows_of(sequence, query_offsets_ptr, B, Q)
    slot_0 = first_slot(first_q, sequence, BLOCK_M)
    do_ptr += first_q * stride_dot + head * stride_doh
    q_ptr += first_q * stride_qt + head * stride_qh
    k_ptr += first * stride_kt + head * stride_kh
    v_ptr += first * stride_vt + head * stride_vh
    dk_ptr += first * stride_dkt + head * stride_dkh
    dv_ptr += first * stride_dvt + head * stride_dvh

    col = key_0 + tl.arange(0, BLOCK_N)
    key_end = tl.minimum(key_0 + BLOCK_N, keys)
    k = load_rows(k_ptr, stride_kt, col, keys, DQK, BLOCK_DQK, True)
    v = load_rows(v_ptr, stride_vt, col, keys, DV, BLOCK_DV, True)
    half_alpha = 0.5 * alpha
    # dk is twice the gradient, and both are without alpha and scale.
    dk = tl.zeros([BLOCK_N, BLOCK_DQK], dtype=tl.float32)
    dv = tl.zeros([BLOCK_N, BLOCK_DV], dtype=tl.float32)
    blocks = tl.cdiv(queries, BLOCK_M)
    for chunk in range(0, blocks, CHUNK):
        block = chunk + tl.arange(0, CHUNK)
        inside, slot = block < blocks, slot_0 + block
        low = tl.load(low_ptr + slot, mask=inside, other=0)
        high = tl.load(high_ptr + slot, mask=inside, other=0)
        all_low = tl.load(all_low_ptr + slot, mask=inside, other=keys)
        all_high = tl.load(all_high_ptr + slot, mask=inside, other=0)
        # 0: no row sees a key of the block, 1: some do, 2: every row sees every key.
        sees = (high > low) & (low < key_end) & (high > key_0)
        sight = sees.to(tl.int32) + (sees & (all_low <= key_0) & (all_high >= key_end)).to(tl.int32)
        chunk_end = tl.minimum(chunk + CHUNK, blocks)
        run = tl.min(tl.where(sight > 0, block, chunk_end))
        while run < chunk_end:
            own = tl.max(tl.where(block == run, sight, 0))
            run_end = tl.min(tl.where((block > run) & (sight != own), block, chunk_end))
            whole_end = tl.where(own == 2, run_end, run)
            dk, dv = _dkdv_of_queries(
                dk, dv, k, v, do_ptr, q_ptr, stride_dot, stride_qt, end_ptr, start_ptr,
                run, whole_end, col, first_q, queries, keys, half_alpha,
                HAS_START, DQK, DV, BLOCK_DQK, BLOCK_DV, BLOCK_M, False,
            )  # fmt: skip
            dk, dv = _dkdv_of_queries(
                dk, dv, k, v, do_ptr, q_ptr, stride_dot, stride_qt, end_ptr, start_ptr,
                whole_end, run_end, col, first_q, queries, keys, half_alpha,
                HAS_START, DQK, DV, BLOCK_DQK, BLOCK_DV, BLOCK_M, True,
            )  # fmt: skip
            run = tl.min(tl.where((block >= run_end) & (sight > 0), block, chunk_end))

    dk, dv = _dkdv_of_own(
        dk, dv, do_ptr, q_ptr, k_ptr, v_ptr, stride_dot, stride_qt, stride_kt, stride_vt,
        end_ptr, start_ptr, col, first_q, queries, keys, half_alpha,
        HAS_START, DQK, DV, BLOCK_DQK, BLOCK_DV, BLOCK_N,
    )  # fmt: skip
    there = (col < keys)[:, None]
    dk = tl.where(there, half_alpha * scale * dk, 0.0)
    dv = tl.where(there, scale * dv, 0.0)
    store_rows(dk_ptr, stride_dkt, col, written, dk, DQK, BLOCK_DQK)
    store_rows(dv_ptr, stride_dvt, col, written, dv, DV, BLOCK_DV)


def attention_backward(
    do_QHD: Tensor,
    q_QHD: Tensor,
    k_THD: Tensor,
    v_THD: Tensor,
    offsets: Tensor,
    query_offsets: Tensor,
    visible_end: Tensor,
    visible_start: Tensor | None,
    alpha: float,
    scale: float,
    dq_config: Config | None = None,
    dkdv_config: Config | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    Q, H, Dqk = q_QHD.shape
    T, _, Dv = v_THD.shape
    B = offsets.shape[0] - 1
    dq_config = dq_config or best_config("dq", q_QHD.device, q_QHD.dtype, Dqk, Dv)
    dkdv_config = dkdv_config or best_config("dkdv", q_QHD.device, q_QHD.dtype, Dqk, Dv)
    inputs = do_QHD, q_QHD, k_THD, v_THD = tuple(
        rows_whole(x) for x in (do_QHD, q_QHD, k_THD, v_THD)
    )
    if T == 0 or B == 0:
        return q_QHD.new_zeros(q_QHD.shape), k_THD.new_zeros(k_THD.shape), v_THD.new_zeros(T, H, Dv)
    dq, dk, dv = (x.new_empty(x.shape) for x in (q_QHD, k_THD, v_THD))
    integers = (
        offsets,
        query_offsets,
        visible_end.contiguous(),
        contiguous_or(visible_start, visible_end),
    )
    has_start = visible_start is not None
    strides = [stride for x in inputs for stride in x.stride()[:2]]
    common = {"HAS_START": has_start, **dims(Dqk, Dv)}

    _dq_kernel[(Q // dq_config.block_m + B, H)](
        *inputs, dq, *integers, B, Q, T, alpha, scale, *strides, *dq.stride()[:2],
        **common, **dq_config.launch(),
    )  # fmt: skip

    block_m = dkdv_config.block_m
    ranges = [
        torch.empty(Q // block_m + B, dtype=torch.int32, device=q_QHD.device) for _ in range(4)
    ]
    _ranges_kernel[(Q // block_m + B,)](
        *ranges, *integers, B, Q, T, HAS_START=has_start, BLOCK_M=block_m
    )
    _dkdv_kernel[(T // dkdv_config.block_n + B, H)](
        *inputs, dk, dv, *ranges, *integers, B, Q, T, alpha, scale,
        *strides, *dk.stride()[:2], *dv.stride()[:2],
        CHUNK=CHUNK, **common, **dkdv_config.launch(),
    )  # fmt: skip
    return dq, dk, dv
