"""One linear layer with SiLU whose result is wanted in parts: an HSTU layer's u, q, k and v."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .body import body_for
from .checks import FLOAT_DTYPES, autocast, check_device

MAX_PARTS = 4


def linear_silu(
    x_TK: Tensor, weight_NK: Tensor, bias_N: Tensor, widths: Sequence[int]
) -> tuple[Tensor, ...]:
    """``silu(x @ weight.T + bias)``, its columns cut into parts of the given widths.

    Args:
        x_TK: ``[T, K]``.
        weight_NK: ``[N, K]``.
        bias_N: ``[N]``. All three share one dtype: float32, bfloat16 or float16 (float64 on CPUs
            too). Under autocast float32 and half inputs take autocast's dtype, as a linear
            layer's would.
        widths: of the parts, 1 to 4 of them; they add up to N and may be 0.

    Returns:
        For each width a contiguous ``[T, width]`` of its own, in the inputs' dtype; sums are at
        least float32. Differentiable once, in x, weight and bias. What backward needs beyond the
        inputs, ``[T, N]`` before SiLU, is kept only where a gradient can be asked for.

    Raises:
        ValueError: shapes, dtypes, devices or widths do not fit.

    HSTU's pointwise projection: arXiv 2402.17152, section 3.1.
    """
    x_TK, weight_NK, bias_N = autocast(x_TK, weight_NK, bias_N)
    _check(x_TK, weight_NK, bias_N, widths)
    keep = torch.is_grad_enabled() and any(t.requires_grad for t in (x_TK, weight_NK, bias_N))
    parts, _ = _linear_silu(x_TK, weight_NK, bias_N, list(widths), keep)
    return tuple(parts)


def _check(x_TK: Tensor, weight_NK: Tensor, bias_N: Tensor, widths: Sequence[int]) -> None:
    if not x_TK.dtype == weight_NK.dtype == bias_N.dtype or x_TK.dtype not in FLOAT_DTYPES:
        raise ValueError(
            "x, weight and bias must share one floating dtype, "
            f"got {x_TK.dtype}, {weight_NK.dtype}, {bias_N.dtype}"
        )
    if x_TK.dim() != 2:
        raise ValueError(f"x must be [tokens, inputs], got {list(x_TK.shape)}")
    if weight_NK.dim() != 2 or weight_NK.shape[1] != x_TK.shape[1]:
        raise ValueError(f"weight must be [outputs, {x_TK.shape[1]}], got {list(weight_NK.shape)}")
    if bias_N.shape != weight_NK.shape[:1]:
        raise ValueError(f"bias must be [{weight_NK.shape[0]}], got {list(bias_N.shape)}")
    if not 1 <= len(widths) <= MAX_PARTS or min(widths) < 0 or sum(widths) != weight_NK.shape[0]:
        raise ValueError(
            f"widths must be 1 to {MAX_PARTS} numbers, none below 0, that add up to weight's "
            f"{weight_NK.shape[0]} rows, got {list(widths)}"
        )
    check_device(x_TK, "x", weight=weight_NK, bias=bias_N)


@torch.library.custom_op("hstu::linear_silu", mutates_args=(), device_types=("cpu", "cuda"))
def _linear_silu(
    x_TK: Tensor, weight_NK: Tensor, bias_N: Tensor, widths: Sequence[int], keep: bool
) -> tuple[list[Tensor], Tensor]:
    with body_for(x_TK, "linear_silu") as body:
        result: tuple[list[Tensor], Tensor] = body.linear_silu_forward(
            x_TK, weight_NK, bias_N, widths, keep
        )
    return result


@torch.library.custom_op(
    "hstu::linear_silu_backward", mutates_args=(), device_types=("cpu", "cuda")
)
def _linear_silu_backward(
    dparts: Sequence[Tensor], x_TK: Tensor, weight_NK: Tensor, z_TN: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    with body_for(x_TK, "linear_silu") as body:
        dz_TN, dbias_N = body.silu_backward_of_parts(dparts, z_TN)
        return dz_TN @ weight_NK, dz_TN.T @ x_TK, dbias_N


@_linear_silu.register_fake
def _(
    x_TK: Tensor, weight_NK: Tensor, _bias_N: Tensor, widths: Sequence[int], keep: bool
) -> tuple[list[Tensor], Tensor]:
    T = x_TK.shape[0]
    parts = [x_TK.new_empty(T, width) for width in widths]
    return parts, x_TK.new_empty(T if keep else 0, weight_NK.shape[0])


@_linear_silu_backward.register_fake
def _(
    _dparts: Sequence[Tensor], x_TK: Tensor, weight_NK: Tensor, z_TN: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    dbias_N = weight_NK.new_empty(weight_NK.shape[0])
    return x_TK.new_empty(x_TK.shape), weight_NK.new_empty(weight_NK.shape), dbias_N


def _save_for_backward(
    ctx: Any, inputs: tuple[Any, ...], output: tuple[list[Tensor], Tensor]
) -> None:
    x_TK, weight_NK, _bias_N, ctx.widths, _keep = inputs
    _parts, z_TN = output
    ctx.save_for_backward(x_TK, weight_NK, z_TN)
    ctx.mark_non_differentiable(z_TN)
    ctx.set_materialize_grads(False)


def _gradients(ctx: Any, dparts: list[Tensor | None], _dz: None) -> tuple[Tensor | None, ...]:
    x_TK, weight_NK, z_TN = ctx.saved_tensors
    # A part that reached no loss: zeros, one row of them seen T times.
    whole = [
        z_TN.new_zeros(1, width).expand(z_TN.shape[0], width) if dpart_TW is None else dpart_TW
        for dpart_TW, width in zip(dparts, ctx.widths, strict=True)
    ]
    return *_linear_silu_backward(whole, x_TK, weight_NK, z_TN), None, None


_linear_silu.register_autograd(_gradients, setup_context=_save_for_backward)
