"""Group layer norm on CPUs, with its gradients written out.

Statistics and sums are float32 for half precision inputs (float64 for float64). `u_TD`, where
given, gates the input: the norm is of ``x * u``.
"""

import torch
from torch import Tensor

layer_norm = torch.ops.aten.native_layer_norm
layer_norm_backward = torch.ops.aten.native_layer_norm_backward


def group_layer_norm_forward(
    x_TD: Tensor,
    u_TD: Tensor | None,
    group_T: Tensor,
    weight_GD: Tensor,
    bias_GD: Tensor,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """The result, and the mean and reciprocal deviation of each token, [T]."""
    compute = torch.promote_types(x_TD.dtype, torch.float32)
    if group_T.numel() and not 0 <= int(group_T.min()) <= int(group_T.max()) < len(weight_GD):
        raise ValueError(
            f"groups must lie in 0..{len(weight_GD) - 1}, "
            f"got {int(group_T.min())}..{int(group_T.max())}"
        )
    normal_TD, mean_T1, rstd_T1 = layer_norm(
        _gated(x_TD, u_TD, compute), x_TD.shape[1:], None, None, eps
    )
    y_TD = bias_GD.to(compute).index_select(0, group_T)
    y_TD.addcmul_(normal_TD, weight_GD.to(compute).index_select(0, group_T))
    return y_TD.to(x_TD.dtype), mean_T1.view(-1), rstd_T1.view(-1)


def group_layer_norm_backward(
    dy_TD: Tensor,
    x_TD: Tensor,
    u_TD: Tensor | None,
    group_T: Tensor,
    weight_GD: Tensor,
    mean_T: Tensor,
    rstd_T: Tensor,
) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
    """Gradients of x, u (None without a gate), weight and bias."""
    compute = mean_T.dtype
    gated_TD = _gated(x_TD, u_TD, compute)
    dy_TD = dy_TD.to(compute)
    mean_T1, rstd_T1 = mean_T[:, None], rstd_T[:, None]
    dnormal_TD = dy_TD * weight_GD.to(compute).index_select(0, group_T)
    dgated_TD = layer_norm_backward(
        dnormal_TD, gated_TD, x_TD.shape[1:], mean_T1, rstd_T1, None, None, [True, False, False]
    )[0]
    # Sums per group as one product: index_add_ walks the tokens one by one on one core.
    member_GT = (group_T == torch.arange(len(weight_GD))[:, None]).to(compute)
    normal_TD = (gated_TD - mean_T1).mul_(rstd_T1)
    dweight_GD = member_GT @ normal_TD.mul_(dy_TD)
    dbias_GD = member_GT @ dy_TD
    if u_TD is None:
        dx_TD, du_TD = dgated_TD, None
    else:
        dx_TD, du_TD = dgated_TD * u_TD, (dgated_TD * x_TD).to(u_TD.dtype)
    dtype = weight_GD.dtype
    return dx_TD.to(x_TD.dtype), du_TD, dweight_GD.to(dtype), dbias_GD.to(dtype)


def _gated(x_TD: Tensor, u_TD: Tensor | None, compute: torch.dtype) -> Tensor:
    # native_layer_norm wants its input whole; a view into a wider projection is not.
    x_TD = x_TD.to(compute)
    return x_TD.contiguous() if u_TD is None else x_TD * u_TD
