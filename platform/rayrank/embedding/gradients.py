"""The vectors of table rows, each read once, and their gradients, gathered where the rows are and
applied once a step.

TorchRec's fused optimizers update rows inside the backward pass, once for each lookup. Here the
backward pass ends at what a lookup gave: gradients of several micro-batches add up, their norm is
known before anything is changed, and one backward pass of the kernel then updates every row that
was asked for.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from rayrank.embedding.hashing import initial_vectors
from rayrank.embedding.owned_ids import OwnedIds


class _Rows(NamedTuple):
    """Distinct rows, and what belongs to each."""

    rows: torch.Tensor
    """int64 [N]"""
    values_ND: torch.Tensor
    """float32: vectors, a leaf that gets its gradient; or a gradient."""


class Gathering:
    """In place of the forward pass of one of TorchRec's lookups: the rows' vectors, what their ids
    start with and what was learned of them, without its update."""

    def __init__(
        self,
        look_up: Callable[[KeyedJaggedTensor], torch.Tensor],
        owned: OwnedIds,
        dim: int,
        *,
        seeds: list[int],
        init_std: float,
    ) -> None:
        """look_up: of one table of this width, with a fused optimizer. seeds: of the tables that
        share it, in their order."""
        self._look_up, self._dim, self._init_std = look_up, dim, init_std
        self._owned, self._pool = owned, owned.pool
        self._seeds = torch.tensor(seeds, dtype=torch.int64, device=owned.pool.device)
        self._asked: list[_Rows] = []
        self._gathered: _Rows | None = None
        self.rows_asked, self.rows_read = 0, 0
        """Since the beginning: rows that other ranks asked for, and how many were read for them."""

    def __call__(self, features: KeyedJaggedTensor) -> torch.Tensor:
        """float32 [rows x dim], of all features' rows end to end."""
        rows, back = torch.unique(features.values().long(), return_inverse=True)
        self.rows_asked, self.rows_read = self.rows_asked + len(back), self.rows_read + len(rows)
        with torch.no_grad():
            learned_ND = self._learned(rows)
            start_ND = self._start(rows)
        if not self._owned.training:  # a start of which nothing came is noise
            start_ND *= learned_ND.any(dim=1, keepdim=True)
            return (learned_ND + start_ND)[back].view(-1)
        learned_ND.requires_grad_()
        self._asked.append(_Rows(rows, learned_ND))
        return (learned_ND + start_ND)[back].view(-1)

    def _learned(self, rows: torch.Tensor) -> torch.Tensor:
        """float32 [rows, dim]."""
        # All features are of one table: which of them asks does not matter.
        names = self._pool.tables
        lengths = torch.zeros(len(names), dtype=torch.int64, device=rows.device)
        lengths[0] = len(rows)
        asked = KeyedJaggedTensor(keys=list(names), values=rows, lengths=lengths)
        return self._look_up(asked).view(len(rows), self._dim)

    def _start(self, rows: torch.Tensor) -> torch.Tensor:
        """float32 [rows, dim]: what the ids in rows start with; the one without an id, zeros."""
        seeds = self._seeds[self._pool.table[rows].long()]
        start_ND = initial_vectors(self._pool.keys[rows], self._dim, seeds, self._init_std)
        return start_ND * (rows != 0)[:, None]

    def gather(self) -> None:
        """After a backward pass: add up the gradients of each row. What is kept is one gradient
        for each row that was asked for, however many micro-batches there are."""
        parts = [self._gathered] if self._gathered is not None else []
        parts += [_Rows(rows, leaf.grad) for rows, leaf in self._asked if leaf.grad is not None]
        self._asked = []
        if not parts:
            return
        rows, gradients_ND = parts[0]
        if len(parts) > 1:
            every_ND = torch.cat([part.values_ND for part in parts])
            rows, at = torch.unique(torch.cat([part.rows for part in parts]), return_inverse=True)
            gradients_ND = every_ND.new_zeros(len(rows), self._dim).index_add_(0, at, every_ND)
        # Nothing is learned of ids that have no row.
        self._gathered = _Rows(rows, gradients_ND * (rows != 0)[:, None])

    def square(self) -> torch.Tensor:
        """Of the norm of what was gathered, float64 []."""
        if self._gathered is None:
            return torch.zeros((), dtype=torch.float64)
        return self._gathered.values_ND.double().square().sum()

    def forget(self) -> None:
        """What was gathered."""
        self._gathered = None

    def rows(self) -> torch.Tensor:
        """int64: the distinct rows that `update` would change."""
        if self._gathered is None:
            return torch.empty(0, dtype=torch.int64, device=self._seeds.device)
        return self._gathered.rows

    def update(self, scale: float) -> None:
        """Apply the gradients that were gathered, times `scale`."""
        if self._gathered is None:
            return
        rows, gradients_ND = self._gathered
        self._gathered = None
        self._learned(rows).backward(gradients_ND * scale)
