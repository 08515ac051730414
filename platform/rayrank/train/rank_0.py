"""What one rank finds, told to all."""

from collections.abc import Callable
from typing import TypeVar, cast

import torch.distributed as dist

T = TypeVar("T")


def from_rank_0(ask: Callable[[], T]) -> T:
    """What rank 0 finds, on every rank. Collective."""
    found = [ask() if dist.get_rank() == 0 else None]
    dist.broadcast_object_list(found)
    return cast(T, found[0])
