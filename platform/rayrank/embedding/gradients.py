"""The gradients of table rows, gathered where the rows are, and applied once a step.

TorchRec's fused optimizers update rows inside the backward pass, once for each lookup. Here the
backward pass ends at what a lookup gave: gradients of several micro-batches add up, their norm is
known before anything is changed, and one backward pass of the kernel then updates every row that
was asked for.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

TABLE_BITS = 40
"""A row and its table are one key: row + table << TABLE_BITS."""


class _Rows(NamedTuple):
    """Rows of several tables, and what belongs to each."""

    keys: torch.Tensor
    """int64 [N]"""
    values_ND: torch.Tensor
    """float32: vectors, a leaf that gets its gradient; or a gradient."""


class Gathering:
    """In place of the forward pass of one of TorchRec's lookups: the same vectors, not its update.

    A pass under `torch.no_grad` is the lookup's own.
    """

    def __init__(self, look_up: Callable[[KeyedJaggedTensor], torch.Tensor], dim: int) -> None:
        """look_up: of several tables of this width, with a fused optimizer."""
        self._look_up, self._dim = look_up, dim
        self._tables: list[str] = []
        self._asked: list[_Rows] = []
        self._gathered: _Rows | None = None

    def __call__(self, features: KeyedJaggedTensor) -> torch.Tensor:
        """float32 [rows x dim], of all tables' rows end to end."""
        if not torch.is_grad_enabled():
            return self._look_up(features)
        with torch.no_grad():
            vectors = self._look_up(features)
        self._tables, rows = features.keys(), features.values().to(torch.int64)
        each = features.lengths().view(len(self._tables), -1).sum(1)
        table = torch.arange(len(self._tables), device=rows.device).repeat_interleave(
            each, output_size=len(rows)
        )
        leaf_ND = vectors.view(len(rows), self._dim).requires_grad_()
        self._asked.append(_Rows(rows + (table << TABLE_BITS), leaf_ND))
        return leaf_ND.view(-1)

    def gather(self) -> None:
        """After a backward pass: add up the gradients of each row. What is kept is one gradient
        for each row that was asked for, however many micro-batches there are."""
        parts = [self._gathered] if self._gathered is not None else []
        parts += [_Rows(k, leaf.grad) for k, leaf in self._asked if leaf.grad is not None]
        self._asked = []
        if not parts:
            return
        keys, inverse = torch.unique(torch.cat([part.keys for part in parts]), return_inverse=True)
        gradients_ND = torch.cat([part.values_ND for part in parts])
        sums_ND = gradients_ND.new_zeros(len(keys), gradients_ND.shape[1])
        self._gathered = _Rows(keys, sums_ND.index_add_(0, inverse, gradients_ND))

    def square(self) -> torch.Tensor:
        """Of the norm of what was gathered, float64 []."""
        if self._gathered is None:
            return torch.zeros((), dtype=torch.float64)
        return self._gathered.values_ND.double().square().sum()

    def forget(self) -> None:
        """What was gathered."""
        self._gathered = None

    def update(self, scale: float) -> None:
        """Apply the gradients that were gathered, times `scale`."""
        if self._gathered is None:
            return
        keys, sums_ND = self._gathered
        self._gathered = None
        begins = torch.arange(len(self._tables) + 1, device=keys.device) << TABLE_BITS
        each = torch.searchsorted(keys, begins).diff()  # keys ascend
        rows = keys & ((1 << TABLE_BITS) - 1)
        asked = KeyedJaggedTensor(keys=self._tables, values=rows, lengths=each)
        self._look_up(asked).backward((sums_ND * scale).view(-1))
