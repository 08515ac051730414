# Triton reads a kernel's annotations as its own, so kernels have none for mypy.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"

"""Jagged concatenation and its inverse on GPUs: one kernel, launched once for each part.

A program moves a block of the part's rows: it finds the sequence of each and from that the row of
the whole (the formula of `jagged_concat`), which it writes or, taking apart, reads.
"""

from collections.abc import Sequence

import triton
import triton.language as tl
from torch import Tensor

# Each of a program's 128 threads has four loads of 16 bytes in flight and one row to find.
PROGRAM_BYTES, PROGRAM_ROWS = 8192, 128


@triton.jit
def _sequence_of(row, offsets_ptr, B):
    """For each row the last sequence that starts at it or before: no empty one does."""
    low = tl.zeros_like(row)
    size = B
    # Each row's sequence is in [low, low + size).
    while size > 1:
        half = size // 2
        low += tl.where(tl.load(offsets_ptr + low + half) <= row, half, 0)
        size -= half
    return low


@triton.jit(do_not_specialize=["part", "rows", "rows_before", "B"])
def _move_kernel(
    part_ptr, whole_ptr, offsets_ptr, part, rows, rows_before, B, stride_part, stride_whole,
    P: tl.constexpr, D: tl.constexpr, BLOCK_T: tl.constexpr, BLOCK_D: tl.constexpr,
    CONCAT: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * BLOCK_T + tl.arange(0, BLOCK_T)
    inside = row < rows
    sequence = _sequence_of(row, offsets_ptr + part * (B + 1), B)
    # Behind the last sequence of all parts come the rows behind it of the first part, and so on.
    behind = row >= tl.load(offsets_ptr + part * (B + 1) + B)
    place = row.to(tl.int64) + tl.where(behind, rows_before, 0)
    for other in tl.static_range(P):
        # Of the parts before this one, the sequence's own rows lie before it too.
        bound = tl.where(behind, B, sequence + (other < part))
        before = inside & (other != part) & ((other > part) | (behind == 0))
        place += tl.load(offsets_ptr + other * (B + 1) + bound, mask=before, other=0)
    d = tl.arange(0, BLOCK_D)[None, :]
    mask = inside[:, None] & (d < D)
    held = mask & (behind == 0)[:, None]
    part_at = part_ptr + row[:, None].to(tl.int64) * stride_part + d
    whole_at = whole_ptr + place[:, None] * stride_whole + d
    if CONCAT:
        tl.store(whole_at, tl.load(part_at, mask=held, other=0), mask=mask)
    else:
        tl.store(part_at, tl.load(whole_at, mask=held, other=0), mask=mask)


def jagged_concat(parts_TD: Sequence[Tensor], offsets_PB: Tensor) -> Tensor:
    y_TD = parts_TD[0].new_empty(sum(len(x) for x in parts_TD), parts_TD[0].shape[1])
    _move(parts_TD, y_TD, offsets_PB, concat=True)
    return y_TD


def jagged_split(x_TD: Tensor, offsets_PB: Tensor, tokens: Sequence[int]) -> list[Tensor]:
    parts_TD = [x_TD.new_empty(count, x_TD.shape[1]) for count in tokens]
    _move(parts_TD, x_TD, offsets_PB, concat=False)
    return parts_TD


def _move(
    parts_TD: Sequence[Tensor], whole_TD: Tensor, offsets_PB: Tensor, *, concat: bool
) -> None:
    D = whole_TD.shape[1]
    block_d = triton.next_power_of_2(max(D, 1))
    fitting = PROGRAM_BYTES // (block_d * whole_TD.element_size())
    block_t = min(max(fitting, 1), PROGRAM_ROWS)
    rows_before = 0
    for p, part_TD in enumerate(parts_TD):
        if part_TD.numel() == 0:
            continue
        _move_kernel[(triton.cdiv(len(part_TD), block_t),)](
            part_TD, whole_TD, offsets_PB, p, len(part_TD), rows_before, offsets_PB.shape[1] - 1,
            part_TD.stride(0), whole_TD.stride(0),
            P=len(parts_TD), D=D, BLOCK_T=block_t, BLOCK_D=block_d, CONCAT=concat, num_warps=4,
        )  # fmt: skip
        rows_before += len(part_TD)
