"""HSTU attention over jagged sequences in which every token sees a prefix and itself."""

from typing import Any

import torch
from torch import Tensor

from .body import body_for
from .checks import FLOAT_DTYPES, autocast, check_device

MIN_DIM, MAX_DIM = 16, 256


def hstu_attention(
    q_QHD: Tensor,
    k_THD: Tensor,
    v_THD: Tensor,
    offsets: Tensor,
    visible_end: Tensor,
    visible_start: Tensor | None = None,
    *,
    query_offsets: Tensor | None = None,
    alpha: float,
    scale: float,
) -> Tensor:
    """Pointwise (SiLU) attention of HSTU, without softmax, on packed sequences.

    ``o_i = scale * sum_j silu(alpha * q_i . k_j) * v_j``, where token i, counted from the start of
    its own sequence, sees the tokens j in ``[visible_start[i], visible_end[i])`` of that sequence
    and always itself, once. Causal, bidirectional, windowed and MTGR's dynamic masks are values of
    these integers.

    Queries are all tokens, or the last ones of each sequence: candidates, where keys and values of
    what stands before them are there already, or where nobody reads what becomes of it.

    Args:
        q_QHD: ``[Q, H, Dqk]``, the queries of all sequences one after the other.
        k_THD: ``[T, H, Dqk]``, all tokens of all sequences.
        v_THD: ``[T, H, Dv]``. All three share one dtype: float32, bfloat16 or float16 (float64 on
            CPUs too). Dqk and Dv lie in 16..256 and may differ. Under autocast float32 and half
            inputs take autocast's dtype, as a matrix product's would.
        offsets: int64 ``[B + 1]``, from 0 up: where each sequence's tokens start. Sequences may be
            empty, and tokens behind the last one belong to none.
        visible_end: int32 or int64 ``[Q]``, exclusive, relative to the sequence's start.
        visible_start: like ``visible_end``, inclusive; 0 everywhere if not given.
        query_offsets: like ``offsets``, where each sequence's queries start; ``offsets`` itself,
            and so Q = T, if not given.
        alpha: multiplies every score; usually ``1 / sqrt(Dqk)``.
        scale: multiplies the sum: a constant of the model (1 / N), never of the batch.

    Returns:
        ``[Q, H, Dv]`` in the inputs' dtype, zero for queries behind the last sequence.
        Differentiable once, in q, k and v.

    Raises:
        ValueError: shapes, dtypes or devices do not fit; on CPUs, also offsets that fall or end
            behind their rows, more queries than tokens, and visible ranges outside their sequence.
            (On GPUs reading values would stall the device; ranges are cut to the sequence there.)

    HSTU: arXiv 2402.17152, section 3; MTGR's dynamic mask: arXiv 2505.18654, section 3.3.
    """
    q_QHD, k_THD, v_THD = autocast(q_QHD, k_THD, v_THD)
    _check_floats(q_QHD, k_THD, v_THD)
    if query_offsets is None:
        if len(q_QHD) != len(k_THD):
            raise ValueError(
                f"{len(q_QHD)} queries of {len(k_THD)} tokens: query_offsets must say whose"
            )
        query_offsets = offsets
    _check_integers(q_QHD, offsets, query_offsets, visible_end, visible_start)
    o_QHD: Tensor = _attention(
        q_QHD, k_THD, v_THD, offsets, query_offsets, visible_end, visible_start, alpha, scale
    )
    return o_QHD


def _check_floats(q_QHD: Tensor, k_THD: Tensor, v_THD: Tensor) -> None:
    if not q_QHD.dtype == k_THD.dtype == v_THD.dtype or q_QHD.dtype not in FLOAT_DTYPES:
        raise ValueError(
            "q, k and v must share one floating dtype, "
            f"got {q_QHD.dtype}, {k_THD.dtype}, {v_THD.dtype}"
        )
    for name, x in (("q", q_QHD), ("k", k_THD), ("v", v_THD)):
        if x.dim() != 3:
            raise ValueError(f"{name} must be [tokens, heads, dim], got {list(x.shape)}")
        if not MIN_DIM <= x.shape[2] <= MAX_DIM:
            raise ValueError(f"{name}'s dim must lie in {MIN_DIM}..{MAX_DIM}, got {x.shape[2]}")
    if q_QHD.shape[1:] != k_THD.shape[1:]:
        raise ValueError(
            "q and k must share heads and dim, "
            f"got {list(q_QHD.shape[1:])} and {list(k_THD.shape[1:])}"
        )
    if v_THD.shape[:2] != k_THD.shape[:2]:
        raise ValueError(
            f"v must have k's tokens and heads, {list(k_THD.shape[:2])}, "
            f"got {list(v_THD.shape[:2])}"
        )
    check_device(q_QHD, "q", k=k_THD, v=v_THD)


def _check_integers(
    q_QHD: Tensor,
    offsets: Tensor,
    query_offsets: Tensor,
    visible_end: Tensor,
    visible_start: Tensor | None,
) -> None:
    for name, of in (("offsets", offsets), ("query_offsets", query_offsets)):
        if of.dtype != torch.int64 or of.dim() != 1 or of.shape[0] < 1:
            raise ValueError(
                f"{name} must be int64 [sequences + 1], got {of.dtype} {list(of.shape)}"
            )
    if offsets.shape != query_offsets.shape:
        raise ValueError(
            f"query_offsets must be of offsets' {offsets.shape[0] - 1} sequences, "
            f"got {query_offsets.shape[0] - 1}"
        )
    if visible_end.dtype not in (torch.int32, torch.int64) or visible_end.shape != q_QHD.shape[:1]:
        raise ValueError(
            f"visible_end must be int32 or int64 [{q_QHD.shape[0]}], "
            f"got {visible_end.dtype} {list(visible_end.shape)}"
        )
    if visible_start is not None and (
        visible_start.dtype != visible_end.dtype
        or visible_start.shape != visible_end.shape
        or visible_start.device != visible_end.device
    ):
        raise ValueError(
            f"visible_start must be like visible_end, {visible_end.dtype} "
            f"{list(visible_end.shape)} on {visible_end.device}, got {visible_start.dtype} "
            f"{list(visible_start.shape)} on {visible_start.device}"
        )
    check_device(q_QHD, "q", offsets=offsets, query_offsets=query_offsets, visible_end=visible_end)


@torch.library.custom_op("hstu::attention", mutates_args=(), device_types=("cpu", "cuda"))
def _attention(
    q_QHD: Tensor,
    k_THD: Tensor,
    v_THD: Tensor,
    offsets: Tensor,
    query_offsets: Tensor,
    visible_end: Tensor,
    visible_start: Tensor | None,
    alpha: float,
    scale: float,
) -> Tensor:
    with body_for(q_QHD, "attention") as body:
        o_QHD: Tensor = body.attention_forward(
            q_QHD, k_THD, v_THD, offsets, query_offsets, visible_end, visible_start, alpha, scale
        )
    return o_QHD


@torch.library.custom_op("hstu::attention_backward", mutates_args=(), device_types=("cpu", "cuda"))
def _attention_backward(
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
) -> tuple[Tensor, Tensor, Tensor]:
    with body_for(q_QHD, "attention_backward") as body:
        gradients: tuple[Tensor, Tensor, Tensor] = body.attention_backward(
            do_QHD,
            q_QHD,
            k_THD,
            v_THD,
            offsets,
            query_offsets,
            visible_end,
            visible_start,
            alpha,
            scale,
        )
    return gradients


@_attention.register_fake
def _(q_QHD: Tensor, _k_THD: Tensor, v_THD: Tensor, *_: object) -> Tensor:
    return v_THD.new_empty(q_QHD.shape[0], *v_THD.shape[1:])


@_attention_backward.register_fake
def _(
    _do_QHD: Tensor, q_QHD: Tensor, k_THD: Tensor, v_THD: Tensor, *_: object
) -> tuple[Tensor, Tensor, Tensor]:
    return q_QHD.new_empty(q_QHD.shape), k_THD.new_empty(k_THD.shape), v_THD.new_empty(v_THD.shape)


# torch names these parameters.
def _save_for_backward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.alpha, ctx.scale = inputs
    ctx.save_for_backward(*tensors)


def _gradients(ctx: Any, do_QHD: Tensor) -> tuple[Tensor | None, ...]:
    dq, dk, dv = _attention_backward(do_QHD, *ctx.saved_tensors, ctx.alpha, ctx.scale)
    return dq, dk, dv, None, None, None, None, None, None


_attention.register_autograd(_gradients, setup_context=_save_for_backward)
