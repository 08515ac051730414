"""A shard as it was at one moment, read part by part while training goes on.

Its vectors are not copied: a row that training is about to change is kept aside, unless its part
has been read already. What is copied at once is small: keys, steps, sightings.
"""

import threading
from collections.abc import Iterator
from typing import NamedTuple

import torch

from rayrank.embedding.pool import Pool
from rayrank.embedding.tables import ShardRows

PART_BYTES = 64 << 20
"""Of vectors in a part, at most."""


class _Aside(NamedTuple):
    """Rows before they were changed."""

    rows: torch.Tensor
    vectors: torch.Tensor
    momentum: torch.Tensor


class Snapshot:
    """Of one shard. `parts` may run in another thread than `before_change`."""

    def __init__(self, pool: Pool, weights: torch.Tensor, momentum: torch.Tensor) -> None:
        """weights float32 [rows + 1, dim], momentum float32 [rows + 1]: not copied."""
        self._tables, self._weights, self._momentum = pool.tables, weights, momentum
        used = slice(1, int(pool.count) + 1)
        held = (pool.table, pool.keys, pool.last, pool.sightings)
        self._table, self._keys, self._last, self._sightings = (
            of[used].to("cpu", copy=True) for of in held
        )
        self._lock = threading.Lock()
        self._read = 1
        """The first row that has not been read."""
        self._is_aside = torch.zeros(used.stop, dtype=torch.bool, device=weights.device)
        self._aside: list[_Aside] = []

    def before_change(self, rows: torch.Tensor) -> None:
        """Keep what stands in these distinct rows, int64 [n], as far as it is still to be read."""
        with self._lock:
            if self._read == len(self._is_aside):  # to pick rows the host waits for the device
                return
            rows = rows[(rows >= self._read) & (rows < len(self._is_aside))]
            rows = rows[~self._is_aside[rows]]
            self._is_aside[rows] = True
            kept = self._weights[rows].detach().clone(), self._momentum[rows].detach().clone()
            self._aside.append(_Aside(rows, *kept))

    def parts(self) -> Iterator[dict[str, ShardRows]]:
        """All rows, in their order, once: table -> rows, in CPU memory of their own."""
        each = max(1, PART_BYTES // (4 * self._weights.shape[1]))
        for first in range(1, len(self._is_aside), each):
            vectors, momentum = self._part(first, min(first + each, len(self._is_aside)))
            ids = slice(first - 1, first - 1 + len(vectors))
            part = {}
            for number, name in enumerate(self._tables):
                mine = (self._table[ids] == number).nonzero().flatten()
                if len(mine):
                    part[name] = ShardRows(
                        self._keys[ids][mine],
                        vectors[mine],
                        momentum[mine],
                        self._last[ids][mine],
                        self._sightings[ids][mine],
                        (mine + first).to(torch.int32),
                    )
            yield part

    def _part(self, first: int, end: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The rows of [first, end) as they were. On a GPU every thread's work is on the device's
        default stream, unless it says otherwise: in the order of these locks."""
        with self._lock:
            vectors = self._weights[first:end].detach().to("cpu", copy=True)
            momentum = self._momentum[first:end].detach().to("cpu", copy=True)
            left = []
            for aside in self._aside:
                inside = aside.rows < end  # those of parts before are gone
                at = (aside.rows[inside] - first).cpu()
                vectors[at], momentum[at] = (
                    aside.vectors[inside].cpu(),
                    aside.momentum[inside].cpu(),
                )
                left.append(_Aside(*(of[~inside] for of in aside)))
            self._aside, self._read = left, end
        return vectors, momentum
