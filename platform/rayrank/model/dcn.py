"""DCN-v2 (arXiv 2008.13535): products of columns, of a bounded degree, and an MLP."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn

from rayrank.embedding.tables import Tables
from rayrank.model.features import Scales, hidden_layers
from rayrank.model.pooled import Pooled, PooledConfig
from rayrank.model.segments import Layouts, Segments
from rayrank.schema import Schema
from rayrank.strict import Positive


class DCNConfig(PooledConfig):
    """DCN-v2: cross layers over a candidate's row, then an MLP, and a head per task."""

    kind: str = "dcn"
    """Which model this configures."""
    cross_layers: Positive = 2
    """Each multiplies by the row once more: l layers make products of up to l + 1 columns."""
    rank: Positive | None = None
    """Of the cross layers' matrices; full unless said. A quarter of the row's width costs half."""
    structure: Literal["stacked", "parallel"] = "stacked"
    """`stacked`: the MLP reads what the cross layers made, so that what it need not learn itself
    is there when it starts. `parallel`: it reads the row beside them."""
    hidden: Annotated[list[int], Field(min_length=1)] = [256, 128]
    """Widths of the MLP's hidden layers."""


class CrossLayer(nn.Module):
    """x_{l+1} = x_0 * (W x_l + b) + x_l; of a low rank W = U V (section 3.1 of the paper; its V is
    written transposed)."""

    def __init__(self, columns: Segments, rank: int | None) -> None:
        super().__init__()
        self.columns = columns
        width = sum(width for _, width in columns)
        self.down = None if rank is None else nn.Linear(width, rank, bias=False)
        self.up = nn.Linear(width if rank is None else rank, width)

    def layouts(self) -> Layouts:
        if self.down is None:
            return {"up.weight": (self.columns, self.columns), "up.bias": (self.columns,)}
        return {
            "down.weight": (None, self.columns),
            "up.weight": (self.columns, None),
            "up.bias": (self.columns,),
        }

    def forward(self, row_CD: torch.Tensor, x_CD: torch.Tensor) -> torch.Tensor:
        """The next x of `row_CD`, which is x_0, and this one."""
        return row_CD * self.up(x_CD if self.down is None else self.down(x_CD)) + x_CD


class DCN(Pooled):
    """Cross layers and an MLP, whose results one layer turns into a logit per task.

    One trunk serves all tasks, as in the DLRM: what is asked of the cross layers is the same.
    """

    Config = DCNConfig

    def __init__(self, schema: Schema, config: DCNConfig, tables: Tables, scales: Scales) -> None:
        super().__init__(schema, config, tables, scales)
        self.cross = nn.ModuleList(
            CrossLayer(self.columns, config.rank) for _ in range(config.cross_layers)
        )
        self.deep = hidden_layers(self.width, *config.hidden, dropout=config.dropout)
        self.stacked = config.structure == "stacked"
        self._read = [("deep()", config.hidden[-1])]  # by the heads
        if not self.stacked:
            self._read = [*self.columns, *self._read]
        self.heads = nn.Linear(sum(width for _, width in self._read), len(schema.tasks))

    def layouts(self) -> Layouts:
        tasks = [(task, 1) for task in self.schema.tasks]
        return {
            "deep.0.weight": (None, self.columns),
            "heads.weight": (tasks, self._read),
            "heads.bias": (tasks,),
        }

    def logits(self, row_CD: torch.Tensor) -> torch.Tensor:
        x_CD = row_CD
        for layer in self.cross:
            x_CD = layer(row_CD, x_CD)
        if self.stacked:
            return self.heads(self.deep(x_CD))
        return self.heads(torch.cat([x_CD, self.deep(row_CD)], dim=1))
