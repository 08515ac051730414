"""The cross module scaled: a mixture of experts over everything that is known of a candidate.

The line of Meituan's rankers before MTGR has it as the step after DeepFM and DCN (arXiv 2505.18654
measures it as MoE-SIM). They say that experts read everything and that their MLP is large, and
leave open how many there are, how wide, and what mixes them.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from rayrank.embedding.tables import Tables
from rayrank.model.experts import Experts, Gate
from rayrank.model.features import Scales
from rayrank.model.flops import linear_flops
from rayrank.model.pooled import Pooled, PooledConfig
from rayrank.model.segments import Layouts
from rayrank.schema import Schema
from rayrank.strict import Positive


class MoEConfig(PooledConfig):
    """MoE: experts over a candidate's row, one gate, and a head for each task."""

    kind: str = "moe"
    """Which model this configures."""
    experts: Positive = 8
    """How many MLPs there are."""
    expert_hidden: Annotated[list[Positive], Field(min_length=1)] = [256, 128]
    """Widths of an expert's layers."""


class MoE(Pooled):
    """Task k: w_k . (sum over i of softmax(W x)_i expert_i(x)).

    All tasks share the mixture, where each has a gate of its own in MMoE: what is scaled is what is
    known of a candidate, and not what tasks have apart. Every expert sees every row.
    """

    Config = MoEConfig

    def __init__(self, schema: Schema, config: MoEConfig, tables: Tables, scales: Scales) -> None:
        super().__init__(schema, config, tables, scales)
        self.experts = Experts(self.columns, config.experts, config.expert_hidden, config.dropout)
        self.gate = Gate(self.columns, [("experts", config.experts)])
        self.heads = nn.Linear(config.expert_hidden[-1], len(schema.tasks))

    def layouts(self) -> Layouts:
        tasks = [(task, 1) for task in self.schema.tasks]
        return {"heads.weight": (tasks, None), "heads.bias": (tasks,)}

    def logits(self, row_CD: torch.Tensor) -> torch.Tensor:
        return self.heads(self.gate(row_CD, self.experts(row_CD)))

    def row_flops(self) -> int:
        return linear_flops(self) + self.gate.flops(self.heads.in_features)
