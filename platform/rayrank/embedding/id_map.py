"""From arbitrary 64-bit ids to slots: no collisions."""

from typing import Protocol

import torch

from rayrank.embedding.id_map_cpu import EMPTY, CompiledIdMap

__all__ = ["EMPTY", "IdMap", "id_map"]


class IdMap(Protocol):
    """Ids int64 of any value, and the slot of each. All tensors are on the map's device."""

    def find(self, ids: torch.Tensor) -> torch.Tensor:
        """The slot of each id, int64 [n]; EMPTY for one that is not there."""

    def find_or_insert(
        self, ids: torch.Tensor, count: torch.Tensor, where: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The slot of each id, int64 [n]. New ones get the slots `count`, `count + 1`, …, in the
        order of their first occurrence; `count`, int64 [], is advanced by their number: several
        maps may draw from one. where: bool [n], which ids may be new; the others are but looked
        up. On a GPU a slot that the map was not made for is not given: such an id gets EMPTY, and
        is counted all the same."""

    def remove(self, ids: torch.Tensor) -> None:
        """Forget distinct ids, which are there."""

    def assign(self, ids: torch.Tensor, slots: torch.Tensor) -> None:
        """Give distinct ids, which are there, other slots."""

    def bytes(self) -> int:
        """Of memory."""


def id_map(rows: int, device: torch.device | str = "cpu") -> IdMap:
    """An empty one, for slots below `rows`; on a CPU it grows as it fills."""
    if torch.device(device).type == "cpu":
        return CompiledIdMap()
    # Triton, where there is a GPU alone.
    from rayrank.embedding.id_map_triton import TritonIdMap  # noqa: PLC0415

    return TritonIdMap(rows, torch.device(device))
