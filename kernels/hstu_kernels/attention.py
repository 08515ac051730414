"""HSTU attention over jagged sequences in which every token sees a prefix and itself."""

from typing import Any

import torch
from torch import Tensor

from .body import body_for
from .checks import FLOAT_DTYPES, autocast, check_device

MIN_DIM, MAX_DIM = 16, 256


def hstu_attention(
    q_THD: Tensor,
    k_THD: Tensor,
    v_THD: Tensor,
    offsets: Tensor,
    visible_end: Tensor,
    visible_start: Tensor | None = None,
    *,
    alpha: float,
    scale: float,
) -> Tensor:
    """Pointwise (SiLU) attention of HSTU, without softmax, on packed sequences.

    ``o_i = scale * sum_j silu(alpha * q_i . k_j) * v_j``, where token i, counted from the start of
    its own sequence, sees the tokens j in ``[visible_start[i], visible_end[i])`` of that sequence
    and always itself, once. Causal, bidirectional, windowed and MTGR's dynamic masks are values of
    these integers.

    Args:
        q_THD, k_THD: ``[T, H, Dqk]``, all sequences one after the other.
        v_THD: ``[T, H, Dv]``. All three share one dtype: float32, bfloat16 or float16 (float64 on
            CPUs too). Dqk and Dv lie in 16..256 and may differ. Under autocast float32 and half
            inputs take autocast's dtype, as a matrix product's would.
        offsets: int64 ``[B + 1]``, from 0 to T; sequences may be empty.
        visible_end: int32 or int64 ``[T]``, exclusive, relative to the sequence's start.
        visible_start: like ``visible_end``, inclusive; 0 everywhere if not given.
        alpha: multiplies every score; usually ``1 / sqrt(Dqk)``.
        scale: multiplies the sum: a constant of the model (1 / N), never of the batch.

    Returns:
        ``[T, H, Dv]`` in the inputs' dtype. Differentiable once, in q, k and v.

    Raises:
        ValueError: shapes, dtypes or devices do not fit; on CPUs, also offsets that do not rise
            from 0 to T and visible ranges outside their sequence. (On GPUs reading values would
            stall the device; ranges are cut to the sequence there.)

    HSTU: arXiv 2402.17152, section 3; MTGR's dynamic mask: arXiv 2505.18654, section 3.3.
    """
    q_THD, k_THD, v_THD = autocast(q_THD, k_THD, v_THD)
    _check(q_THD, k_THD, v_THD, offsets, visible_end, visible_start)
    o_THD: Tensor = _attention(
        q_THD, k_THD, v_THD, offsets, visible_end, visible_start, alpha, scale
    )
    return o_THD


def _check(
    q_THD: Tensor,
    k_THD: Tensor,
    v_THD: Tensor,
    offsets: Tensor,
    visible_end: Tensor,
    visible_start: Tensor | None,
) -> None:
    if not q_THD.dtype == k_THD.dtype == v_THD.dtype or q_THD.dtype not in FLOAT_DTYPES:
        raise ValueError(
            "q, k and v must share one floating dtype, "
            f"got {q_THD.dtype}, {k_THD.dtype}, {v_THD.dtype}"
        )
    for name, x in (("q", q_THD), ("k", k_THD), ("v", v_THD)):
        if x.dim() != 3:
            raise ValueError(f"{name} must be [tokens, heads, dim], got {list(x.shape)}")
        if not MIN_DIM <= x.shape[2] <= MAX_DIM:
            raise ValueError(f"{name}'s dim must lie in {MIN_DIM}..{MAX_DIM}, got {x.shape[2]}")
    if q_THD.shape != k_THD.shape:
        raise ValueError(
            f"q and k must have one shape, got {list(q_THD.shape)} and {list(k_THD.shape)}"
        )
    if v_THD.shape[:2] != q_THD.shape[:2]:
        raise ValueError(
            f"v must have q's tokens and heads, {list(q_THD.shape[:2])}, "
            f"got {list(v_THD.shape[:2])}"
        )
    _check_integers(q_THD, offsets, visible_end, visible_start)
    check_device(q_THD, "q", k=k_THD, v=v_THD, offsets=offsets, visible_end=visible_end)


def _check_integers(
    q_THD: Tensor, offsets: Tensor, visible_end: Tensor, visible_start: Tensor | None
) -> None:
    if offsets.dtype != torch.int64 or offsets.dim() != 1 or offsets.shape[0] < 1:
        raise ValueError(
            f"offsets must be int64 [sequences + 1], got {offsets.dtype} {list(offsets.shape)}"
        )
    if visible_end.dtype not in (torch.int32, torch.int64) or visible_end.shape != q_THD.shape[:1]:
        raise ValueError(
            f"visible_end must be int32 or int64 [{q_THD.shape[0]}], "
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


@torch.library.custom_op("hstu::attention", mutates_args=(), device_types=("cpu", "cuda"))
def _attention(
    q_THD: Tensor,
    k_THD: Tensor,
    v_THD: Tensor,
    offsets: Tensor,
    visible_end: Tensor,
    visible_start: Tensor | None,
    alpha: float,
    scale: float,
) -> Tensor:
    with body_for(q_THD, "attention") as body:
        o_THD: Tensor = body.attention_forward(
            q_THD, k_THD, v_THD, offsets, visible_end, visible_start, alpha, scale
        )
    return o_THD


@torch.library.custom_op("hstu::attention_backward", mutates_args=(), device_types=("cpu", "cuda"))
def _attention_backward(
    do_THD: Tensor,
    q_THD: Tensor,
    k_THD: Tensor,
    v_THD: Tensor,
    offsets: Tensor,
    visible_end: Tensor,
    visible_start: Tensor | None,
    alpha: float,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    with body_for(q_THD, "attention_backward") as body:
        gradients: tuple[Tensor, Tensor, Tensor] = body.attention_backward(
            do_THD, q_THD, k_THD, v_THD, offsets, visible_end, visible_start, alpha, scale
        )
    return gradients


@_attention.register_fake
def _(_q_THD: Tensor, _k_THD: Tensor, v_THD: Tensor, *_: object) -> Tensor:
    return v_THD.new_empty(v_THD.shape)


@_attention_backward.register_fake
def _(
    _do_THD: Tensor, q_THD: Tensor, k_THD: Tensor, v_THD: Tensor, *_: object
) -> tuple[Tensor, Tensor, Tensor]:
    return q_THD.new_empty(q_THD.shape), k_THD.new_empty(k_THD.shape), v_THD.new_empty(v_THD.shape)


# torch names these parameters.
def _save_for_backward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.alpha, ctx.scale = inputs
    ctx.save_for_backward(*tensors)


def _gradients(ctx: Any, do_THD: Tensor) -> tuple[Tensor | None, ...]:
    dq, dk, dv = _attention_backward(do_THD, *ctx.saved_tensors, ctx.alpha, ctx.scale)
    return dq, dk, dv, None, None, None, None, None


_attention.register_autograd(_gradients, setup_context=_save_for_backward)
