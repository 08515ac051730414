"""What stands where in a dense tensor, so that weights can go on in a model that is made otherwise.

A tensor's dimension may be put together of segments: the columns of a token's features, one feature
after the other; the rows of a layer's projections, head by head. Where a feature is added in the
middle, or heads grow wider, what belongs together is no leading slice any more. A module that has
such tensors says so in a method `layouts`; dimensions of which nothing is said are one piece.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from torch import nn

from rayrank.schema import Group

Segments: TypeAlias = Sequence[tuple[str, int]]
"""(name, length) of what stands side by side along a dimension; names occur once."""
Layouts: TypeAlias = Mapping[str, tuple[Segments | None, ...]]
"""Tensor, by its name in a module -> the segments of each dimension; None where it is one piece."""
GROUPS: Segments = [("groups", 0)]
"""A row for each of the schema's token groups, which a part of a model may not know."""


@runtime_checkable
class LaidOut(Protocol):
    """A module that knows what stands where in its tensors."""

    def layouts(self) -> Layouts:
        """Of its own tensors, and of those of its parts."""
        ...


def named(part: str, columns: Segments) -> list[tuple[str, int]]:
    """Columns by the names that they have beside those of other parts."""
    return [(f"{part}: {name}", width) for name, width in columns]


def layouts_of(model: nn.Module, groups: Sequence[Group]) -> dict[str, tuple[Segments | None, ...]]:
    """Every tensor of a model of whose dimensions something is said, by its full name. What a
    module says of its parts goes before what they say of themselves."""
    each_group: Segments = [(group.name, 1) for group in groups]
    found: dict[str, tuple[Segments | None, ...]] = {}
    for path, module in reversed(list(model.named_modules())):  # parts before wholes
        if isinstance(module, LaidOut):
            for name, dims in module.layouts().items():
                full = f"{path}.{name}" if path else name
                found[full] = tuple(each_group if dim is GROUPS else dim for dim in dims)
    return found


def shared_places(
    old: Sequence[Segments | None] | None,
    new: Sequence[Segments | None] | None,
    old_shape: torch.Size,
    new_shape: torch.Size,
) -> tuple[list[torch.Tensor], list[torch.Tensor]] | None:
    """Per dimension, int64 places in the old tensor and those in the new one that mean the same:
    of segments of one name the leading parts, of a dimension that is one piece the leading part.
    None where the tensors have not as many dimensions."""
    if len(old_shape) != len(new_shape):
        return None
    from_old, to_new = [], []
    for dim, (before, after) in enumerate(zip(old_shape, new_shape, strict=True)):
        left, right = _shared(old[dim] if old else None, new[dim] if new else None, before, after)
        from_old.append(left)
        to_new.append(right)
    return from_old, to_new


def _shared(
    old: Segments | None, new: Segments | None, before: int, after: int
) -> tuple[torch.Tensor, torch.Tensor]:
    if old is None or new is None:
        same = torch.arange(min(before, after))
        return same, same
    at, start = {}, 0
    for name, length in old:
        at[name] = (start, length)
        start += length
    left, right, start = [torch.empty(0, dtype=torch.int64)], [torch.empty(0, dtype=torch.int64)], 0
    for name, length in new:
        first, there = at.get(name, (0, 0))
        many = min(length, there)
        left.append(torch.arange(first, first + many))
        right.append(torch.arange(start, start + many))
        start += length
    return torch.cat(left), torch.cat(right)


def copied_block(
    old: torch.Tensor, new: torch.Tensor, places: tuple[list[torch.Tensor], list[torch.Tensor]]
) -> torch.Tensor:
    """A copy of `new` that has at its places what `old` has at its own."""
    from_old, to_new = places
    if not from_old:
        return old.clone()
    grid_old, grid_new = (torch.meshgrid(*dims, indexing="ij") for dims in (from_old, to_new))
    result = new.clone()
    result[grid_new] = old[grid_old].to(new.dtype)
    return result
