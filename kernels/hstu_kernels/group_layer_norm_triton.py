"""Group layer norm on GPUs, plain and gated: each pass reads its inputs once and keeps no copies.

Forward: a program owns some tokens. Backward: a program walks a stretch of tokens, writes their
gradients, and keeps the sums for every group's gain and bias in registers; the programs' sums are
then added in one order, so gradients are the same every time.
"""

# Triton reads a kernel's annotations as its own, so kernels have none for mypy.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"

import torch
import triton
import triton.language as tl
from torch import Tensor

from .layout import rows_whole

# Elements a forward program holds at once, and programs of a backward launch at most.
FORWARD_ELEMENTS = 2048
BACKWARD_PROGRAMS = 1024


@triton.jit
def _load(ptr, stride, row, d, mask):
    return tl.load(ptr + row.to(tl.int64) * stride + d, mask=mask, other=0.0).to(tl.float32)


@triton.jit(do_not_specialize=["T"])
def _forward_kernel(
    x_ptr, u_ptr, group_ptr, weight_ptr, bias_ptr, y_ptr, mean_ptr, rstd_ptr,
    T, stride_x, stride_u, eps,
    D: tl.constexpr, BLOCK_T: tl.constexpr, BLOCK_D: tl.constexpr, GATED: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * BLOCK_T + tl.arange(0, BLOCK_T)
    d = tl.arange(0, BLOCK_D)[None, :]
    mask = (row[:, None] < T) & (d < D)
    x = _load(x_ptr, stride_x, row[:, None], d, mask)
    if GATED:
        x *= _load(u_ptr, stride_u, row[:, None], d, mask)
    mean = tl.sum(x, 1) / D
    centred = tl.where(mask, x - mean[:, None], 0.0)
    rstd = 1.0 / tl.sqrt(tl.sum(centred * centred, 1) / D + eps)
    group = tl.load(group_ptr + row, mask=row < T, other=0)
    weight = _load(weight_ptr, D, group[:, None], d, mask)
    bias = _load(bias_ptr, D, group[:, None], d, mask)
    y = centred * rstd[:, None] * weight + bias
    pointer = y_ptr + row[:, None].to(tl.int64) * D + d
    tl.store(pointer, y.to(y_ptr.dtype.element_ty), mask=mask)
    tl.store(mean_ptr + row, mean, mask=row < T)
    tl.store(rstd_ptr + row, rstd, mask=row < T)


@triton.jit(do_not_specialize=["T", "rows"])
def _backward_kernel(
    dy_ptr, x_ptr, u_ptr, group_ptr, weight_ptr, mean_ptr, rstd_ptr,
    dx_ptr, du_ptr, dweight_ptr, dbias_ptr, T, rows, stride_dy, stride_x, stride_u,
    D: tl.constexpr, BLOCK_D: tl.constexpr, G: tl.constexpr, BLOCK_G: tl.constexpr,
    GATED: tl.constexpr,
):  # fmt: skip
    program = tl.program_id(0)
    first = program.to(tl.int64) * rows
    dy_ptr += first * stride_dy
    x_ptr += first * stride_x
    u_ptr += first * stride_u
    dx_ptr += first * D
    du_ptr += first * D
    d = tl.arange(0, BLOCK_D)
    g = tl.arange(0, BLOCK_G)
    inside = d < D
    dweight = tl.zeros([BLOCK_G, BLOCK_D], dtype=tl.float32)
    dbias = tl.zeros([BLOCK_G, BLOCK_D], dtype=tl.float32)
    for row in range(0, tl.minimum(rows, T - first)):
        x = tl.load(x_ptr + row * stride_x + d, mask=inside, other=0.0).to(tl.float32)
        dy = tl.load(dy_ptr + row * stride_dy + d, mask=inside, other=0.0).to(tl.float32)
        group = tl.load(group_ptr + first + row)
        weight = tl.load(weight_ptr + group * D + d, mask=inside, other=0.0).to(tl.float32)
        mean, rstd = tl.load(mean_ptr + first + row), tl.load(rstd_ptr + first + row)
        if GATED:
            u = tl.load(u_ptr + row * stride_u + d, mask=inside, other=0.0).to(tl.float32)
            normal = tl.where(inside, (x * u - mean) * rstd, 0.0)
        else:
            normal = tl.where(inside, (x - mean) * rstd, 0.0)
        dnormal = dy * weight
        shift = tl.sum(dnormal, 0) / D
        slope = tl.sum(dnormal * normal, 0) / D
        dx = (dnormal - shift - normal * slope) * rstd
        if GATED:
            tl.store(du_ptr + row * D + d, (dx * x).to(du_ptr.dtype.element_ty), mask=inside)
            dx *= u
        tl.store(dx_ptr + row * D + d, dx.to(dx_ptr.dtype.element_ty), mask=inside)
        own = (g == group)[:, None]
        dweight += tl.where(own, (dy * normal)[None, :], 0.0)
        dbias += tl.where(own, dy[None, :], 0.0)
    at = (program * G + g[:, None]) * D + d[None, :]
    mask = (g[:, None] < G) & inside[None, :]
    tl.store(dweight_ptr + at, dweight, mask=mask)
    tl.store(dbias_ptr + at, dbias, mask=mask)


def group_layer_norm_forward(
    x_TD: Tensor,
    u_TD: Tensor | None,
    group_T: Tensor,
    weight_GD: Tensor,
    bias_GD: Tensor,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """The result, and the mean and reciprocal deviation of each token, float32 [T]."""
    T, D = x_TD.shape
    x_TD, u_or_x_TD = rows_whole(x_TD), rows_whole(x_TD if u_TD is None else u_TD)
    y_TD = torch.empty(T, D, dtype=x_TD.dtype, device=x_TD.device)
    mean_T, rstd_T = (torch.empty(T, dtype=torch.float32, device=x_TD.device) for _ in range(2))
    if T == 0:
        return y_TD, mean_T, rstd_T
    block_d = triton.next_power_of_2(D)
    block_t = max(1, FORWARD_ELEMENTS // block_d)
    _forward_kernel[(triton.cdiv(T, block_t),)](
        x_TD, u_or_x_TD, group_T.contiguous(), weight_GD.contiguous(), bias_GD.contiguous(),
        y_TD, mean_T, rstd_T, T, x_TD.stride(0), u_or_x_TD.stride(0), eps,
        D=D, BLOCK_T=block_t, BLOCK_D=block_d, GATED=u_TD is not None, num_warps=_warps(block_d),
    )  # fmt: skip
    return y_TD, mean_T, rstd_T


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
    T, D = x_TD.shape
    G = weight_GD.shape[0]
    device, dtype = x_TD.device, weight_GD.dtype
    dy_TD, x_TD = rows_whole(dy_TD), rows_whole(x_TD)
    u_or_x_TD = x_TD if u_TD is None else rows_whole(u_TD)
    dx_TD = torch.empty(T, D, dtype=x_TD.dtype, device=device)
    du_TD = None if u_TD is None else torch.empty(T, D, dtype=u_TD.dtype, device=device)
    programs = min(T, BACKWARD_PROGRAMS)
    dweight_PGD, dbias_PGD = (
        torch.empty(programs, G, D, dtype=torch.float32, device=device) for _ in range(2)
    )
    if T > 0:
        block_d = triton.next_power_of_2(D)
        _backward_kernel[(programs,)](
            dy_TD, x_TD, u_or_x_TD, group_T.contiguous(), weight_GD.contiguous(), mean_T, rstd_T,
            dx_TD, dx_TD if du_TD is None else du_TD, dweight_PGD, dbias_PGD,
            T, triton.cdiv(T, programs), dy_TD.stride(0), x_TD.stride(0), u_or_x_TD.stride(0),
            D=D, BLOCK_D=block_d, G=G, BLOCK_G=triton.next_power_of_2(G), GATED=u_TD is not None,
            num_warps=_warps(block_d),
        )  # fmt: skip
    return dx_TD, du_TD, dweight_PGD.sum(0).to(dtype), dbias_PGD.sum(0).to(dtype)


def _warps(block_d: int) -> int:
    return 4 if block_d <= 1024 else 8
