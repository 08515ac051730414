"""Layer norm whose gain and bias depend on a token's group (profile, history, candidate, ...)."""

from typing import Any

import torch
from torch import Tensor

from .body import body_for
from .checks import FLOAT_DTYPES, check_device


def group_layer_norm(
    x_TD: Tensor, group_T: Tensor, weight_GD: Tensor, bias_GD: Tensor, *, eps: float = 1e-6
) -> Tensor:
    """Normalises each token by its own mean and variance; gain and bias are its group's.

    ``y_t = (x_t - mean(x_t)) / sqrt(var(x_t) + eps) * weight[group_t] + bias[group_t]``

    Args:
        x_TD: ``[T, D]``, float32, bfloat16 or float16 (float64 on CPUs too).
        group_T: int32 or int64 ``[T]``, values in 0..G-1.
        weight_GD, bias_GD: ``[G, D]``, one dtype, x's or a wider one.
        eps: added to the variance.

    Returns:
        ``[T, D]`` in x's dtype; statistics are at least float32. Differentiable once, in x, weight
        and bias.

    Raises:
        ValueError: shapes, dtypes or devices do not fit; on CPUs also a group outside 0..G-1.

    MTGR's group layer normalisation: arXiv 2505.18654, section 3.3.
    """
    _check(x_TD, group_T, weight_GD, bias_GD)
    y_TD: Tensor = _norm(x_TD, group_T, weight_GD, bias_GD, eps)[0]
    return y_TD


def gated_group_layer_norm(
    o_TD: Tensor,
    u_TD: Tensor,
    group_T: Tensor,
    weight_GD: Tensor,
    bias_GD: Tensor,
    *,
    eps: float = 1e-6,
) -> Tensor:
    """``group_layer_norm(o * u)`` in one pass: what an HSTU layer does to attention's output.

    The arguments and errors are `group_layer_norm`'s; ``u_TD`` is of ``o_TD``'s shape and dtype,
    and the product is not rounded to it. Differentiable once, in o, u, weight and bias.

    HSTU's gate: arXiv 2402.17152, section 3.1; group normalisation: arXiv 2505.18654, section 3.3.
    """
    _check(o_TD, group_T, weight_GD, bias_GD)
    if u_TD.shape != o_TD.shape or u_TD.dtype != o_TD.dtype or u_TD.device != o_TD.device:
        raise ValueError(
            f"u must be like o, {o_TD.dtype} {list(o_TD.shape)} on {o_TD.device}, "
            f"got {u_TD.dtype} {list(u_TD.shape)} on {u_TD.device}"
        )
    y_TD: Tensor = _gated_norm(o_TD, u_TD, group_T, weight_GD, bias_GD, eps)[0]
    return y_TD


def _check(x_TD: Tensor, group_T: Tensor, weight_GD: Tensor, bias_GD: Tensor) -> None:
    if x_TD.dim() != 2 or x_TD.dtype not in FLOAT_DTYPES:
        raise ValueError(
            f"the input must be floating [tokens, dim], got {x_TD.dtype} {list(x_TD.shape)}"
        )
    if group_T.dtype not in (torch.int32, torch.int64) or group_T.shape != x_TD.shape[:1]:
        raise ValueError(
            f"group must be int32 or int64 [{x_TD.shape[0]}], "
            f"got {group_T.dtype} {list(group_T.shape)}"
        )
    if weight_GD.dim() != 2 or weight_GD.shape[1] != x_TD.shape[1]:
        raise ValueError(f"weight must be [groups, {x_TD.shape[1]}], got {list(weight_GD.shape)}")
    if bias_GD.shape != weight_GD.shape or bias_GD.dtype != weight_GD.dtype:
        raise ValueError(
            f"bias must be like weight, {weight_GD.dtype} {list(weight_GD.shape)}, "
            f"got {bias_GD.dtype} {list(bias_GD.shape)}"
        )
    if torch.promote_types(weight_GD.dtype, x_TD.dtype) != weight_GD.dtype:
        raise ValueError(
            f"weight must be of the input's dtype, {x_TD.dtype}, or a wider one, "
            f"got {weight_GD.dtype}"
        )
    check_device(x_TD, "the input", group=group_T, weight=weight_GD, bias=bias_GD)


@torch.library.custom_op("hstu::group_layer_norm", mutates_args=(), device_types=("cpu", "cuda"))
def _norm(
    x_TD: Tensor, group_T: Tensor, weight_GD: Tensor, bias_GD: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    with body_for(x_TD, "group_layer_norm") as body:
        result: tuple[Tensor, Tensor, Tensor] = body.group_layer_norm_forward(
            x_TD, None, group_T, weight_GD, bias_GD, eps
        )
    return result


@torch.library.custom_op(
    "hstu::group_layer_norm_backward", mutates_args=(), device_types=("cpu", "cuda")
)
def _norm_backward(
    dy_TD: Tensor, x_TD: Tensor, group_T: Tensor, weight_GD: Tensor, mean_T: Tensor, rstd_T: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    with body_for(dy_TD, "group_layer_norm") as body:
        dx_TD, _, dweight_GD, dbias_GD = body.group_layer_norm_backward(
            dy_TD, x_TD, None, group_T, weight_GD, mean_T, rstd_T
        )
    return dx_TD, dweight_GD, dbias_GD


@torch.library.custom_op(
    "hstu::gated_group_layer_norm", mutates_args=(), device_types=("cpu", "cuda")
)
def _gated_norm(
    o_TD: Tensor, u_TD: Tensor, group_T: Tensor, weight_GD: Tensor, bias_GD: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    with body_for(o_TD, "group_layer_norm") as body:
        result: tuple[Tensor, Tensor, Tensor] = body.group_layer_norm_forward(
            o_TD, u_TD, group_T, weight_GD, bias_GD, eps
        )
    return result


@torch.library.custom_op(
    "hstu::gated_group_layer_norm_backward", mutates_args=(), device_types=("cpu", "cuda")
)
def _gated_norm_backward(
    dy_TD: Tensor,
    o_TD: Tensor,
    u_TD: Tensor,
    group_T: Tensor,
    weight_GD: Tensor,
    mean_T: Tensor,
    rstd_T: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    with body_for(dy_TD, "group_layer_norm") as body:
        do_TD, du_TD, dweight_GD, dbias_GD = body.group_layer_norm_backward(
            dy_TD, o_TD, u_TD, group_T, weight_GD, mean_T, rstd_T
        )
    assert du_TD is not None
    return do_TD, du_TD, dweight_GD, dbias_GD


@_norm.register_fake
@_gated_norm.register_fake
def _(x_TD: Tensor, *_: object) -> tuple[Tensor, Tensor, Tensor]:
    statistic = torch.promote_types(x_TD.dtype, torch.float32)
    mean_T, rstd_T = (x_TD.new_empty(x_TD.shape[:1], dtype=statistic) for _ in range(2))
    return x_TD.new_empty(x_TD.shape), mean_T, rstd_T


@_norm_backward.register_fake
def _(
    _dy_TD: Tensor, x_TD: Tensor, _group_T: Tensor, weight_GD: Tensor, *_: object
) -> tuple[Tensor, Tensor, Tensor]:
    dweight_GD, dbias_GD = (weight_GD.new_empty(weight_GD.shape) for _ in range(2))
    return x_TD.new_empty(x_TD.shape), dweight_GD, dbias_GD


@_gated_norm_backward.register_fake
def _(
    _dy_TD: Tensor, o_TD: Tensor, u_TD: Tensor, _group_T: Tensor, weight_GD: Tensor, *_: object
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    dweight_GD, dbias_GD = (weight_GD.new_empty(weight_GD.shape) for _ in range(2))
    return o_TD.new_empty(o_TD.shape), u_TD.new_empty(u_TD.shape), dweight_GD, dbias_GD


def _save_for_backward(
    ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]
) -> None:
    *tensors, _bias_GD, _eps = inputs
    _y_TD, mean_T, rstd_T = output
    ctx.save_for_backward(*tensors, mean_T, rstd_T)
    ctx.mark_non_differentiable(mean_T, rstd_T)
    ctx.set_materialize_grads(False)


def _gradients(ctx: Any, dy_TD: Tensor, _dmean: None, _drstd: None) -> tuple[Tensor | None, ...]:
    dx_TD, dweight_GD, dbias_GD = _norm_backward(dy_TD, *ctx.saved_tensors)
    return dx_TD, None, dweight_GD, dbias_GD, None


def _gated_gradients(
    ctx: Any, dy_TD: Tensor, _dmean: None, _drstd: None
) -> tuple[Tensor | None, ...]:
    do_TD, du_TD, dweight_GD, dbias_GD = _gated_norm_backward(dy_TD, *ctx.saved_tensors)
    return do_TD, du_TD, None, dweight_GD, dbias_GD, None


_norm.register_autograd(_gradients, setup_context=_save_for_backward)
_gated_norm.register_autograd(_gated_gradients, setup_context=_save_for_backward)
