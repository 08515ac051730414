"""PLE (RecSys 2020, doi 10.1145/3383313.3412236): experts of each task beside those all share, and
several such levels."""

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from rayrank.embedding.tables import Tables
from rayrank.model.experts import Experts, Gate, Towers
from rayrank.model.features import Scales
from rayrank.model.flops import linear_flops
from rayrank.model.pooled import Pooled, PooledConfig
from rayrank.model.segments import Segments
from rayrank.schema import Schema
from rayrank.strict import Positive


class PLEConfig(PooledConfig):
    """PLE: levels of shared and own experts over a candidate's row, and a tower for each task."""

    kind: str = "ple"
    """Which model this configures."""
    levels: Positive = 2
    """Of extraction; with one it is the paper's CGC."""
    shared_experts: Positive = 2
    """Of a level, which every task's gate may take from."""
    own_experts: Positive = 1
    """Of a level and a task, which no other task's gate may take from."""
    expert_hidden: Annotated[list[Positive], Field(min_length=1)] = [64]
    """Widths of an expert's layers."""
    tower_hidden: list[Positive] = [32]
    """Widths of the hidden layers between a task's last mixture and its logit; there may be
    none."""


class Extraction(nn.Module):
    """One level: an input for each task and a shared one in, a mixture for each out.

    A task's gate chooses from its own and the shared experts. The shared gate chooses from all; of
    the last level nobody would read what it makes, and there it is not.
    """

    def __init__(
        self, columns: Segments, tasks: Sequence[str], config: PLEConfig, *, last: bool
    ) -> None:
        super().__init__()

        def experts(count: int) -> Experts:
            return Experts(columns, count, config.expert_hidden, config.dropout)

        shared: Segments = [("shared", config.shared_experts)]
        own = [(task, config.own_experts) for task in tasks]
        self.own = nn.ModuleList(experts(config.own_experts) for _ in tasks)
        self.shared = experts(config.shared_experts)
        self.gates = nn.ModuleList(Gate(columns, [("own", n), *shared]) for _, n in own)
        self.shared_gate = None if last else Gate(columns, [*own, *shared])

    def forward(self, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Of the tasks, in their order, and of the shared part last."""
        *of_tasks, of_shared = inputs
        own = [part(x_CD) for part, x_CD in zip(self.own, of_tasks, strict=True)]
        shared_CEH = self.shared(of_shared)
        mixed = [
            gate(x_CD, torch.cat([own_CEH, shared_CEH], dim=1))
            for gate, x_CD, own_CEH in zip(self.gates, of_tasks, own, strict=True)
        ]
        if self.shared_gate is not None:
            mixed.append(self.shared_gate(of_shared, torch.cat([*own, shared_CEH], dim=1)))
        return mixed


class PLE(Pooled):
    """Levels of extraction, the first of which reads the row, and a tower for each task."""

    Config = PLEConfig

    def __init__(self, schema: Schema, config: PLEConfig, tables: Tables, scales: Scales) -> None:
        super().__init__(schema, config, tables, scales)
        self._width = config.expert_hidden[-1]
        inputs = [self.columns, *[[("mixture()", self._width)]] * (config.levels - 1)]
        self.levels = nn.ModuleList(
            Extraction(columns, [*schema.tasks], config, last=n == config.levels)
            for n, columns in enumerate(inputs, start=1)
        )
        self.towers = Towers(len(schema.tasks), self._width, config.tower_hidden, config.dropout)

    def logits(self, row_CD: torch.Tensor) -> torch.Tensor:
        inputs = [row_CD] * (len(self.schema.tasks) + 1)
        for level in self.levels:
            inputs = level(inputs)
        return self.towers(inputs)

    def row_flops(self) -> int:
        gates = [part for part in self.levels.modules() if isinstance(part, Gate)]
        return linear_flops(self) + sum(gate.flops(self._width) for gate in gates)
