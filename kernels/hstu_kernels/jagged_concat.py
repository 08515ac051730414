"""Jagged parts of the same sequences, laid one sequence after the other, and taken apart again.

Row s of part p, of sequence b, goes to row

    s + sum over parts h < p of offsets[h][b + 1] + sum over parts h > p of offsets[h][b]

of the whole: before it lie the sequences before b, of every part, and b's own rows of the parts
before p. So each element is read once and written once; `torch.cat` followed by an index does both
twice, and needs the index. Both operators move rows by this formula, one in each direction: they
are each other's inverse and each other's gradient.

Rows of a part behind its last sequence belong to none. So many rows of the whole, its last, are
zeros, and taken apart they are again.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .body import body_for
from .layout import rows_whole

INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32}


def jagged_concat(parts_TD: Sequence[Tensor], offsets: Sequence[Tensor]) -> Tensor:
    """Each sequence's rows of part 0, then of part 1, and so on; then the next sequence's.

    Args:
        parts_TD: one or more ``[T_p, D]``, of one dtype: any that torch has.
        offsets: for each part int64 ``[B + 1]``, from 0 to T_p at most: where its sequences start.
            All parts have the same B sequences; any of them may be empty.

    Returns:
        ``[sum of T_p, D]``, the same bits in another order; zeros for rows behind the last
        sequence. Differentiable any number of times.

    Raises:
        ValueError: numbers of parts, shapes, dtypes or devices do not fit; on CPUs also offsets
            that do not rise from 0 to T_p at most. (On GPUs reading values would stall the device;
            rows go wherever the offsets say.)
    """
    if not parts_TD:
        raise ValueError("there must be at least one part, got none")
    first_TD = parts_TD[0]
    dtype, device = first_TD.dtype, first_TD.device
    for p, x_TD in enumerate(parts_TD):
        if x_TD.dim() != 2:
            raise ValueError(f"part {p} must be [tokens, dim], got {list(x_TD.shape)}")
        if x_TD.shape[1] != first_TD.shape[1] or x_TD.dtype != dtype or x_TD.device != device:
            raise ValueError(
                f"part {p} must be like part 0, {dtype} [tokens, {first_TD.shape[1]}] on {device}, "
                f"got {x_TD.dtype} {list(x_TD.shape)} on {x_TD.device}"
            )
    y_TD: Tensor = _concat(parts_TD, _stacked(offsets, len(parts_TD), device))
    return y_TD


def jagged_split(
    x_TD: Tensor, offsets: Sequence[Tensor], tokens: Sequence[int]
) -> tuple[Tensor, ...]:
    """Undoes `jagged_concat`: the parts of which ``x_TD`` was made.

    Args:
        x_TD: ``[T, D]``, of any dtype.
        offsets: as for `jagged_concat`.
        tokens: T_p for each part, which sum to T: said by the caller, because offsets may be on a
            device for which nobody wants to wait.

    Returns:
        For each part ``[T_p, D]``, the same bits; zeros for rows behind the last sequence.
        Differentiable any number of times; a part whose gradient is missing counts as zeros.

    Raises:
        ValueError: as `jagged_concat`, and tokens that do not sum to T.
    """
    if x_TD.dim() != 2:
        raise ValueError(f"the input must be [tokens, dim], got {list(x_TD.shape)}")
    if any(count < 0 for count in tokens) or sum(tokens) != x_TD.shape[0]:
        raise ValueError(
            f"tokens must sum to the input's, {x_TD.shape[0]}, and none be negative, "
            f"got {list(tokens)}"
        )
    return tuple(_split(x_TD, _stacked(offsets, len(tokens), x_TD.device), tokens))


def _stacked(offsets: Sequence[Tensor], parts: int, device: torch.device) -> Tensor:
    """[P, B + 1]"""
    if len(offsets) != parts or parts == 0:
        raise ValueError(
            f"each part needs offsets, and there must be a part; "
            f"got {parts} parts and {len(offsets)} offsets"
        )
    for p, bounds in enumerate(offsets):
        if bounds.dtype != torch.int64 or bounds.dim() != 1 or bounds.shape[0] < 1:
            raise ValueError(
                f"offsets of part {p} must be int64 [sequences + 1], "
                f"got {bounds.dtype} {list(bounds.shape)}"
            )
        if bounds.shape != offsets[0].shape:
            raise ValueError(
                f"all parts must have the same sequences; offsets of part 0 are "
                f"{list(offsets[0].shape)}, of part {p} {list(bounds.shape)}"
            )
        if bounds.device != device:
            raise ValueError(f"offsets of part {p} are on {bounds.device}, the tokens on {device}")
    return torch.stack(tuple(offsets))


def _bits(x_TD: Tensor) -> Tensor:
    """The same memory as integers, so that the bodies copy every dtype and convert none."""
    return rows_whole(x_TD).view(INTEGERS.get(x_TD.element_size(), torch.int64))


@torch.library.custom_op("hstu::jagged_concat", mutates_args=(), device_types=("cpu", "cuda"))
def _concat(parts_TD: Sequence[Tensor], offsets_PB: Tensor) -> Tensor:
    with body_for(offsets_PB, "jagged_concat") as body:
        y_TD: Tensor = body.jagged_concat([_bits(x) for x in parts_TD], offsets_PB)
    return y_TD.view(parts_TD[0].dtype)


@torch.library.custom_op("hstu::jagged_split", mutates_args=(), device_types=("cpu", "cuda"))
def _split(x_TD: Tensor, offsets_PB: Tensor, tokens: Sequence[int]) -> list[Tensor]:
    with body_for(x_TD, "jagged_concat") as body:
        parts_TD: list[Tensor] = body.jagged_split(_bits(x_TD), offsets_PB, tokens)
    return [part_TD.view(x_TD.dtype) for part_TD in parts_TD]


@_concat.register_fake
def _(parts_TD: Sequence[Tensor], _offsets_PB: Tensor) -> Tensor:
    return parts_TD[0].new_empty(sum(x.shape[0] for x in parts_TD), parts_TD[0].shape[1])


@_split.register_fake
def _(x_TD: Tensor, _offsets_PB: Tensor, tokens: Sequence[int]) -> list[Tensor]:
    return [x_TD.new_empty(count, x_TD.shape[1]) for count in tokens]


# torch names these parameters.
def _save_concat(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    parts_TD, offsets_PB = inputs
    ctx.tokens = [x.shape[0] for x in parts_TD]
    ctx.save_for_backward(offsets_PB)


def _concat_gradients(ctx: Any, dy_TD: Tensor) -> tuple[list[Tensor], None]:
    return _split(dy_TD, *ctx.saved_tensors, ctx.tokens), None


def _save_split(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    _x_TD, offsets_PB, ctx.tokens = inputs
    ctx.save_for_backward(offsets_PB)


def _split_gradients(ctx: Any, dparts_TD: list[Tensor]) -> tuple[Tensor, None, None]:
    return _concat(dparts_TD, *ctx.saved_tensors), None, None


_concat.register_autograd(_concat_gradients, setup_context=_save_concat)
_split.register_autograd(_split_gradients, setup_context=_save_split)
