"""Jagged concatenation and its inverse, sequence by sequence: what the bodies must equal."""

from collections.abc import Sequence

import torch
from torch import Tensor


def jagged_concat_reference(parts_TD: Sequence[Tensor], offsets: Sequence[Tensor]) -> Tensor:
    # An empty piece of each part in front: a batch of none then still has a result and gradients.
    pieces = [x_TD[:0] for x_TD in parts_TD]
    for b in range(len(offsets[0]) - 1):
        pieces += [x[at[b] : at[b + 1]] for x, at in zip(parts_TD, offsets, strict=True)]
    pieces += [torch.zeros_like(x[at[-1] :]) for x, at in zip(parts_TD, offsets, strict=True)]
    return torch.cat(pieces)


def jagged_split_reference(
    x_TD: Tensor, offsets: Sequence[Tensor], tokens: Sequence[int]
) -> tuple[Tensor, ...]:
    parts: list[list[Tensor]] = [[x_TD[:0]] for _ in offsets]
    begin = 0
    for b in range(len(offsets[0]) - 1):
        for part, at in zip(parts, offsets, strict=True):
            end = begin + int(at[b + 1] - at[b])
            part.append(x_TD[begin:end])
            begin = end
    for part, at, count in zip(parts, offsets, tokens, strict=True):
        part.append(x_TD.new_zeros(count - int(at[-1]), x_TD.shape[1]))
    return tuple(torch.cat(part) for part in parts)
