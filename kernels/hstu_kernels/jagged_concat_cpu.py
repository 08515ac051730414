"""Jagged concatenation and its inverse on CPUs: one copy of rows per part."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor


def jagged_concat(parts_TD: Sequence[Tensor], offsets_PB: Tensor) -> Tensor:
    tokens = [len(x) for x in parts_TD]
    y_TD = parts_TD[0].new_empty(sum(tokens), parts_TD[0].shape[1])
    for x_TD, row_T in zip(parts_TD, _rows(offsets_PB, tokens), strict=True):
        y_TD.index_copy_(0, row_T, x_TD)
    return y_TD


def jagged_split(x_TD: Tensor, offsets_PB: Tensor, tokens: Sequence[int]) -> list[Tensor]:
    return [x_TD.index_select(0, row_T) for row_T in _rows(offsets_PB, tokens)]


def _rows(offsets_PB: Tensor, tokens: Sequence[int]) -> Iterator[Tensor]:
    """For each part, the rows of the whole that are its own."""
    for p, count in enumerate(tokens):
        _check_values(p, offsets_PB[p], count)
    start_PB, end_PB = offsets_PB[:, :-1], offsets_PB[:, 1:]
    for p, count in enumerate(tokens):
        shift_B = end_PB[:p].sum(0) + start_PB[p + 1 :].sum(0)
        lengths_B = end_PB[p] - start_PB[p]
        yield torch.arange(count) + shift_B.repeat_interleave(lengths_B, output_size=count)


def _check_values(p: int, offsets: Tensor, tokens: int) -> None:
    falls = bool((offsets.diff() < 0).any())
    if int(offsets[0]) != 0 or int(offsets[-1]) != tokens or falls:
        raise ValueError(
            f"offsets of part {p} must rise from 0 to its number of tokens, {tokens}; "
            f"they go from {int(offsets[0])} to {int(offsets[-1])}"
            + (", and fall in between" if falls else "")
        )
