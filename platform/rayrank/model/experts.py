"""Experts, the gates that mix them, and what makes a logit of a mixture: MMoE's and PLE's parts."""

from collections.abc import Sequence

import torch
from torch import nn

from rayrank.model.features import hidden_layers, mlp
from rayrank.model.segments import Layouts, Segments


class Experts(nn.Module):
    """Several MLPs of the same widths over one input, each with SiLU behind every layer."""

    def __init__(
        self, columns: Segments, count: int, widths: Sequence[int], dropout: float
    ) -> None:
        super().__init__()
        self.columns = columns
        width = _width(columns)
        self.each = nn.ModuleList(
            hidden_layers(width, *widths, dropout=dropout) for _ in range(count)
        )

    def layouts(self) -> Layouts:
        return {f"each.{n}.0.weight": (None, self.columns) for n in range(len(self.each))}

    def forward(self, x_CD: torch.Tensor) -> torch.Tensor:
        """[candidates, experts, width]"""
        return torch.stack([expert(x_CD) for expert in self.each], dim=1)


class Gate(nn.Module):
    """softmax(W x): how much of each expert one reader takes, for each candidate. It has no bias,
    as in both papers."""

    def __init__(self, columns: Segments, experts: Segments) -> None:
        """`experts`: those it chooses from, in their order, by name and number: a gate that goes on
        with more of them keeps what it knew of each."""
        super().__init__()
        self.columns, self.experts = columns, experts
        self.weigh = nn.Linear(_width(columns), _width(experts), bias=False)

    def layouts(self) -> Layouts:
        return {"weigh.weight": (self.experts, self.columns)}

    def forward(self, x_CD: torch.Tensor, experts_CEH: torch.Tensor) -> torch.Tensor:
        """[candidates, width]: the experts' mean by the weights that x gives them."""
        weights_CE = self.weigh(x_CD).softmax(dim=1)
        return (weights_CE.unsqueeze(1) @ experts_CEH.to(weights_CE.dtype)).squeeze(1)

    def flops(self, width: int) -> int:
        """Of the mixing of experts of such a width, for one candidate; the weights are a linear
        layer."""
        return 2 * self.weigh.out_features * width


class Towers(nn.Module):
    """An MLP to one logit for each task, of an input of its own."""

    def __init__(self, tasks: int, width: int, hidden: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.each = nn.ModuleList(mlp(width, *hidden, 1, dropout=dropout) for _ in range(tasks))

    def forward(self, of_tasks: Sequence[torch.Tensor]) -> torch.Tensor:
        """[candidates, tasks]"""
        return torch.cat([tower(x) for tower, x in zip(self.each, of_tasks, strict=True)], dim=1)


def _width(columns: Segments) -> int:
    return sum(width for _, width in columns)
