"""Jagged concatenation and its inverse on CPUs: copies of stretches where these are long, one copy
of rows per part where they are many and short."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

# Rows of a stretch, in the mean, from which it is worth a copy of its own.
LONG = 16


def jagged_concat(parts_TD: Sequence[Tensor], offsets_PB: Tensor) -> Tensor:
    ends = _ends(offsets_PB, [len(x) for x in parts_TD])
    used_TD = [x[:end] for x, end in zip(parts_TD, ends, strict=True)]
    rows, D = sum(map(len, parts_TD)), parts_TD[0].shape[1]
    if _are_long(offsets_PB, ends):
        lengths = offsets_PB.diff(dim=1).tolist()
        of_parts = [x_TD.split(of_p) for x_TD, of_p in zip(used_TD, lengths, strict=True)]
        pieces = [x for of_sequence in zip(*of_parts, strict=True) for x in of_sequence]
        return torch.cat([*pieces, parts_TD[0].new_zeros(rows - sum(ends), D)])
    y_TD = parts_TD[0].new_empty(rows, D)
    y_TD[sum(ends) :] = 0
    for x_TD, row_T in zip(used_TD, _rows(offsets_PB, ends), strict=True):
        y_TD.index_copy_(0, row_T, x_TD)
    return y_TD


def jagged_split(x_TD: Tensor, offsets_PB: Tensor, tokens: Sequence[int]) -> list[Tensor]:
    ends = _ends(offsets_PB, tokens)
    behind = [x_TD.new_zeros(n - end, x_TD.shape[1]) for n, end in zip(tokens, ends, strict=True)]
    if _are_long(offsets_PB, ends):
        stretches = x_TD[: sum(ends)].split(offsets_PB.diff(dim=1).T.flatten().tolist())
        return [torch.cat([*stretches[p :: len(ends)], zeros]) for p, zeros in enumerate(behind)]
    parts_TD = [x_TD.index_select(0, row_T) for row_T in _rows(offsets_PB, ends)]
    return [
        torch.cat([x, zeros]) if len(zeros) else x
        for x, zeros in zip(parts_TD, behind, strict=True)
    ]


def _are_long(offsets_PB: Tensor, ends: Sequence[int]) -> bool:
    parts, sequences = offsets_PB.shape[0], offsets_PB.shape[1] - 1
    return 0 < LONG * parts * sequences <= sum(ends)


def _rows(offsets_PB: Tensor, ends: Sequence[int]) -> Iterator[Tensor]:
    """For each part, the rows of the whole that are its own."""
    start_PB, end_PB = offsets_PB[:, :-1], offsets_PB[:, 1:]
    for p, count in enumerate(ends):
        shift_B = end_PB[:p].sum(0) + start_PB[p + 1 :].sum(0)
        lengths_B = end_PB[p] - start_PB[p]
        yield torch.arange(count) + shift_B.repeat_interleave(lengths_B, output_size=count)


def _ends(offsets_PB: Tensor, tokens: Sequence[int]) -> list[int]:
    """Where each part's last sequence ends."""
    for p, (offsets, count) in enumerate(zip(offsets_PB, tokens, strict=True)):
        falls = bool((offsets.diff() < 0).any())
        if int(offsets[0]) != 0 or int(offsets[-1]) > count or falls:
            raise ValueError(
                f"offsets of part {p} must rise from 0 to at most its number of tokens, {count}; "
                f"they go from {int(offsets[0])} to {int(offsets[-1])}"
                + (", and fall in between" if falls else "")
            )
    ends: list[int] = offsets_PB[:, -1].tolist()
    return ends
