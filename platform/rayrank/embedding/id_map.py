"""From arbitrary 64-bit ids to dense slots: no collisions, grows while training."""

from collections.abc import Callable
from typing import Protocol

import torch

from rayrank.embedding.id_map_cpu import EMPTY, CompiledIdMap
from rayrank.embedding.id_map_torch import TorchIdMap

__all__ = ["EMPTY", "IdMap", "id_map", "moved"]


class IdMap(Protocol):
    """Slots are given out in the order in which ids are first inserted, 0, 1, 2, …"""

    def __len__(self) -> int: ...

    def ids(self) -> torch.Tensor:
        """Every id, in the order of its slot: int64 [len]."""

    def find(self, ids: torch.Tensor) -> torch.Tensor:
        """The slot of each id, int64 [n]; EMPTY for an id that was never inserted."""

    def find_or_insert(self, ids: torch.Tensor) -> torch.Tensor:
        """The slot of each id, int64 [n], giving the next free ones to new ids in order of
        their first occurrence."""


def id_map(device: torch.device | str = "cpu") -> IdMap:
    """An empty one."""
    compiled = torch.device(device).type == "cpu"
    return CompiledIdMap() if compiled else TorchIdMap(device)


def moved(ids: IdMap, move: Callable[[torch.Tensor], torch.Tensor]) -> IdMap:
    """The same map where `move` takes tensors: to another device, or nowhere."""
    if move(torch.empty(0, dtype=torch.int64)).device == ids.ids().device:
        return ids
    elsewhere = TorchIdMap()
    elsewhere.find_or_insert(ids.ids().cpu())
    elsewhere.apply(move)
    return elsewhere
