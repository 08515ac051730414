# Triton reads a kernel's annotations as its own, so kernels have none for mypy.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"

"""The projection with SiLU on GPUs: a product whose tiles leave for their own part of the result.

Forward: a program owns a tile of rows and columns, and no tile lies in two parts. The sum over K
has one order and sizes do not follow the batch, so a row has the same bits alone and among others.
Backward: a program owns some columns of a stretch of rows, writes the gradient before SiLU and
keeps its sum for the bias; the stretches' sums are then added in one order. The two products that
are left, for x and weight, are torch's.
"""

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from .layout import rows_whole
from .triton_blocks import PRECISION, silu_and_twice_slope, silu_of_twice
from .tuning import Config, best_config

# Bytes of a row of x or weight that one step of the product takes: a line of the cache.
STEP_BYTES = 128
# Row blocks whose tiles run side by side: each reads all of weight while both stay in the cache.
GROUP = 8
# Backward: rows of a stretch, the block that walks it.
STRETCH, BACKWARD_BLOCK_M, BACKWARD_BLOCK_N = 128, 16, 128


@triton.jit
def _part(
    tile, part_0_ptr, part_1_ptr, part_2_ptr, part_3_ptr, stride_0, stride_1, stride_2, stride_3,
    W0: tl.constexpr, W1: tl.constexpr, W2: tl.constexpr, W3: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """Of a column tile: its part, the part's row stride, width and first column among all parts',
    and the tile's first column in the part."""
    TILES_0: tl.constexpr = (W0 + BLOCK_N - 1) // BLOCK_N
    TILES_1: tl.constexpr = (W1 + BLOCK_N - 1) // BLOCK_N
    TILES_2: tl.constexpr = (W2 + BLOCK_N - 1) // BLOCK_N
    if tile < TILES_0:
        ptr, stride, width, first, before = part_0_ptr, stride_0, W0, 0, 0
    elif tile < TILES_0 + TILES_1:
        ptr, stride, width, first, before = part_1_ptr, stride_1, W1, W0, TILES_0
    elif tile < TILES_0 + TILES_1 + TILES_2:
        ptr, stride, width, first, before = part_2_ptr, stride_2, W2, W0 + W1, TILES_0 + TILES_1
    else:
        ptr, stride, width, first = part_3_ptr, stride_3, W3, W0 + W1 + W2
        before = TILES_0 + TILES_1 + TILES_2
    return ptr, stride, width, first, (tile - before) * BLOCK_N


@triton.jit(do_not_specialize=["T"])
def _forward_kernel(
    x_ptr, w_ptr, b_ptr, z_ptr, part_0_ptr, part_1_ptr, part_2_ptr, part_3_ptr,
    T, tiles, stride_x, stride_w,
    W0: tl.constexpr, W1: tl.constexpr, W2: tl.constexpr, W3: tl.constexpr, K: tl.constexpr,
    KEEP: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
    GROUP: tl.constexpr,
):  # fmt: skip
    program = tl.program_id(0)
    first_block = program // (GROUP * tiles) * GROUP
    blocks = tl.minimum(tl.cdiv(T, BLOCK_M) - first_block, GROUP)
    inside_group = program % (GROUP * tiles)
    part_ptr, stride, width, first, col_0 = _part(
        inside_group // blocks, part_0_ptr, part_1_ptr, part_2_ptr, part_3_ptr,
        W0, W1, W2, W3, W0, W1, W2, W3, BLOCK_N,
    )  # fmt: skip
    row = (first_block + inside_group % blocks) * BLOCK_M + tl.arange(0, BLOCK_M)
    col = col_0 + tl.arange(0, BLOCK_N)

    # Behind the last row or column the last one is read again, not masked, and never stored.
    k = tl.arange(0, BLOCK_K)
    x_row = tl.minimum(row, T - 1).to(tl.int64)
    w_row = (first + tl.minimum(col, width - 1)).to(tl.int64)
    x_pointer = x_ptr + x_row[:, None] * stride_x + k[None, :]
    w_pointer = w_ptr + w_row[None, :] * stride_w + k[:, None]
    acc = tl.zeros([BLOCK_M, BLOCK_N], dtype=tl.float32)
    for k_0 in range(0, K, BLOCK_K):
        if K % BLOCK_K == 0:
            x, w = tl.load(x_pointer), tl.load(w_pointer)
        else:
            x = tl.load(x_pointer, mask=k[None, :] < K - k_0, other=0.0)
            w = tl.load(w_pointer, mask=k[:, None] < K - k_0, other=0.0)
        acc = tl.dot(x, w, acc, input_precision=PRECISION)
        x_pointer += BLOCK_K
        w_pointer += BLOCK_K

    inside = col < width
    z = acc + tl.load(b_ptr + first + col, mask=inside, other=0.0).to(tl.float32)[None, :]
    row_M1, mask = row[:, None].to(tl.int64), (row < T)[:, None] & inside[None, :]
    part = silu_of_twice(0.5 * z, x_ptr.dtype.element_ty != tl.float32)
    part_pointer = part_ptr + row_M1 * stride + col[None, :]
    tl.store(part_pointer, part.to(part_ptr.dtype.element_ty), mask=mask)
    if KEEP:
        z_pointer = z_ptr + row_M1 * (W0 + W1 + W2 + W3) + first + col[None, :]
        tl.store(z_pointer, z.to(z_ptr.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=["T"])
def _backward_kernel(
    dpart_0_ptr, dpart_1_ptr, dpart_2_ptr, dpart_3_ptr, z_ptr, dz_ptr, dbias_ptr,
    T, stride_0, stride_1, stride_2, stride_3,
    W0: tl.constexpr, W1: tl.constexpr, W2: tl.constexpr, W3: tl.constexpr,
    STRETCH: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    N: tl.constexpr = W0 + W1 + W2 + W3
    stretch = tl.program_id(0).to(tl.int64)
    dpart_ptr, stride, width, first, col_0 = _part(
        tl.program_id(1), dpart_0_ptr, dpart_1_ptr, dpart_2_ptr, dpart_3_ptr,
        stride_0, stride_1, stride_2, stride_3, W0, W1, W2, W3, BLOCK_N,
    )  # fmt: skip
    col = col_0 + tl.arange(0, BLOCK_N)
    inside = col < width
    total = tl.zeros([BLOCK_M, BLOCK_N], dtype=tl.float32)
    for row_0 in range(0, STRETCH, BLOCK_M):
        row = stretch * STRETCH + row_0 + tl.arange(0, BLOCK_M)
        mask = (row < T)[:, None] & inside[None, :]
        at = row[:, None] * N + first + col[None, :]
        z = tl.load(z_ptr + at, mask=mask, other=0.0).to(tl.float32)
        dpart_pointer = dpart_ptr + row[:, None] * stride + col[None, :]
        dpart = tl.load(dpart_pointer, mask=mask, other=0.0).to(tl.float32)
        dz = 0.5 * dpart * silu_and_twice_slope(0.5 * z, False)[1]
        tl.store(dz_ptr + at, dz.to(dz_ptr.dtype.element_ty), mask=mask)
        total += dz
    tl.store(dbias_ptr + stretch * N + first + col, tl.sum(total, 0), mask=inside)


def linear_silu_forward(
    x_TK: Tensor,
    weight_NK: Tensor,
    bias_N: Tensor,
    widths: Sequence[int],
    keep: bool,
    config: Config | None = None,
) -> tuple[list[Tensor], Tensor]:
    """The parts, and the product before SiLU: [T, N] if it is to be kept, else [0, N]."""
    T, K = x_TK.shape
    N = weight_NK.shape[0]
    config = config or best_config("linear_silu", x_TK.device, x_TK.dtype, K, N)
    x_TK, weight_NK = rows_whole(x_TK), rows_whole(weight_NK)
    parts = [x_TK.new_empty(T, width) for width in widths]
    z_TN = x_TK.new_empty(T if keep else 0, N)
    tiles = sum(triton.cdiv(width, config.block_n) for width in widths)
    programs = triton.cdiv(T, config.block_m) * tiles
    if programs > 0:
        _forward_kernel[(programs,)](
            x_TK, weight_NK, bias_N.contiguous(), z_TN, *_four(parts),
            T, tiles, x_TK.stride(0), weight_NK.stride(0),
            **_widths(widths), K=K, KEEP=keep,
            BLOCK_K=STEP_BYTES // x_TK.dtype.itemsize, GROUP=GROUP,
            **config.launch(),
        )  # fmt: skip
    return parts, z_TN


def silu_backward_of_parts(dparts: Sequence[Tensor], z_TN: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of z and of the bias, in z's dtype."""
    T, N = z_TN.shape
    widths = [dpart_TW.shape[1] for dpart_TW in dparts]
    dparts = [rows_whole(dpart_TW) for dpart_TW in dparts]
    dz_TN = torch.empty_like(z_TN)
    stretches = triton.cdiv(T, STRETCH)
    tiles = sum(triton.cdiv(width, BACKWARD_BLOCK_N) for width in widths)
    dbias_PN = z_TN.new_empty(stretches, N, dtype=torch.float32)
    if stretches * tiles > 0:
        four = _four(dparts)
        _backward_kernel[(stretches, tiles)](
            *four, z_TN, dz_TN, dbias_PN, T, *(dpart_TW.stride(0) for dpart_TW in four),
            **_widths(widths),
            STRETCH=STRETCH, BLOCK_M=BACKWARD_BLOCK_M, BLOCK_N=BACKWARD_BLOCK_N,
        )  # fmt: skip
    return dz_TN, dbias_PN.sum(0).to(z_TN.dtype)


def _four(parts: Sequence[Tensor]) -> list[Tensor]:
    """A kernel's pointer that is never read still has to be one."""
    return [*parts, *[parts[0]] * 3][:4]


def _widths(widths: Sequence[int]) -> dict[str, int]:
    return {f"W{i}": width for i, width in enumerate([*widths, 0, 0, 0][:4])}
