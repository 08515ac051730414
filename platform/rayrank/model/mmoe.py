"""MMoE (KDD 2018, doi 10.1145/3219819.3220007): experts that all tasks share, mixed for each."""

from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from rayrank.embedding.tables import Tables
from rayrank.model.experts import Experts, Gate, Towers
from rayrank.model.features import Scales
from rayrank.model.flops import linear_flops
from rayrank.model.pooled import Pooled, PooledConfig
from rayrank.schema import Schema
from rayrank.strict import Positive


class MMoEConfig(PooledConfig):
    """MMoE: experts over a candidate's row, and for each task a gate and a tower."""

    kind: str = "mmoe"
    """Which model this configures."""
    experts: Positive = 4
    """How many MLPs all tasks share."""
    expert_hidden: Annotated[list[Positive], Field(min_length=1)] = [128, 64]
    """Widths of an expert's layers."""
    tower_hidden: list[Positive] = [32]
    """Widths of the hidden layers between a task's mixture and its logit; there may be none."""


class MMoE(Pooled):
    """Task k: tower_k(sum over i of softmax(W_k x)_i expert_i(x))."""

    Config = MMoEConfig

    def __init__(self, schema: Schema, config: MMoEConfig, tables: Tables, scales: Scales) -> None:
        super().__init__(schema, config, tables, scales)
        self.experts = Experts(self.columns, config.experts, config.expert_hidden, config.dropout)
        shared = [("shared", config.experts)]
        self.gates = nn.ModuleList(Gate(self.columns, shared) for _ in schema.tasks)
        self._width = config.expert_hidden[-1]
        self.towers = Towers(len(schema.tasks), self._width, config.tower_hidden, config.dropout)

    def logits(self, row_CD: torch.Tensor) -> torch.Tensor:
        experts_CEH = self.experts(row_CD)
        return self.towers([gate(row_CD, experts_CEH) for gate in self.gates])

    def row_flops(self) -> int:
        mixing = sum(gate.flops(self._width) for gate in self.gates if isinstance(gate, Gate))
        return linear_flops(self) + mixing
