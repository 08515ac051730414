"""The user module scaled: queries of a user's over what the user did, and experts over the results,
once for each user and not for each candidate.

It is the last of Meituan's rankers before MTGR (arXiv 2505.18654 measures it as UserTower-SIM, its
best DLRM). Their article says that profile and context are mapped to several queries, which ask the
behaviours by multi-query attention; that 16 experts of three layers follow (1336, 1336, 976); that
they are fused with the base network; and that it is computed once for each user. It does not say
how attention weighs, what mixes the experts, or how they are fused: here by a softmax, by a softmax
gate, and as columns of the base network's row.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from rayrank.data.jagged import JaggedBatch
from rayrank.embedding.tables import Tables
from rayrank.model.experts import Experts, Gate
from rayrank.model.features import Behaviours, Scales, mlp
from rayrank.model.flops import linear_flops
from rayrank.model.pooled import Pooled, PooledConfig, PooledPrefix
from rayrank.model.segments import Layouts, Segments
from rayrank.model.sequence import users_of
from rayrank.schema import CANDIDATES, Group, Schema
from rayrank.strict import Positive


class UserTowerConfig(PooledConfig):
    """UserTower: attention and experts over a user, once for all candidates, and an MLP."""

    kind: str = "user_tower"
    """Which model this configures."""
    queries: Positive = 4
    """How many a user asks behaviours."""
    query_width: Positive = 32
    """Of a query, and of a behaviour's key and value."""
    experts: Positive = 16
    """How many MLPs read what the queries found, and the user's columns."""
    expert_hidden: Annotated[list[Positive], Field(min_length=1)] = [128, 128, 64]
    """Widths of an expert's layers."""
    hidden: Annotated[list[int], Field(min_length=1)] = [256, 128]
    """Widths of the hidden layers of the MLP over a candidate's row, the user's result in it."""


@dataclass(frozen=True)
class UserTowerPrefix(PooledPrefix):
    """What is kept of B users: the base network's part, and the user module's result."""

    tower_BH: torch.Tensor


class MultiQueryAttention(nn.Module):
    """Each of a user's queries has its own weights, by a softmax over all of
    the user's behaviours, for keys and values that all queries share."""

    def __init__(
        self, columns: Segments, sequences: dict[str, Behaviours], config: UserTowerConfig
    ) -> None:
        """columns: those of a user, of which queries are made."""
        super().__init__()
        self.columns = columns
        self.count, self.width = config.queries, config.query_width
        self.of = {name: part.columns() for name, part in sequences.items()}
        self.queries = nn.Linear(sum(width for _, width in columns), self.count * self.width)
        self.keys_values = nn.ModuleDict(
            {name: nn.Linear(part.width, 2 * self.width) for name, part in sequences.items()}
        )

    def layouts(self) -> Layouts:
        each = [(f"query {n}", self.width) for n in range(self.count)]
        both: Segments = [("key", self.width), ("value", self.width)]
        found: dict[str, tuple[Segments | None, ...]] = {
            "queries.weight": (each, self.columns),
            "queries.bias": (each,),
        }
        for name, columns in self.of.items():
            found[f"keys_values.{name}.weight"] = (both, columns)
            found[f"keys_values.{name}.bias"] = (both,)
        return found

    def forward(
        self, user_BD: torch.Tensor, parts: dict[Group, torch.Tensor], batch: JaggedBatch
    ) -> torch.Tensor:
        """[B, queries * width]: what each query takes from the behaviours [n, D] of some groups; 0
        where a user has none."""
        q_BQA = self.queries(user_BD).unflatten(1, (self.count, self.width))
        both = [self.keys_values[group.token](e_ND) for group, e_ND in parts.items()]
        none = q_BQA.new_empty(0, 2 * self.width)
        k_NA, v_NA = torch.cat([none, *both]).chunk(2, dim=1)
        user_N = torch.cat([batch.window_start[:0], *(users_of(batch, group) for group in parts)])
        score_NQ = torch.einsum("nqa,na->nq", q_BQA[user_N], k_NA) / self.width**0.5
        # Less its user's largest, so that no power overflows, and a sum of some is at least 1.
        most_BQ = score_NQ.new_full(q_BQA.shape[:2], -torch.inf).scatter_reduce(
            0, user_N.unsqueeze(1).expand_as(score_NQ), score_NQ.detach(), "amax"
        )
        power_NQ = (score_NQ - most_BQ[user_N]).exp()
        taken_NQA = power_NQ.unsqueeze(2) * v_NA.unsqueeze(1)
        sum_BQ = power_NQ.new_zeros(q_BQA.shape[:2]).index_add(0, user_N, power_NQ)
        taken_BQA = taken_NQA.new_zeros(q_BQA.shape).index_add(0, user_N, taken_NQA)
        return (taken_BQA / sum_BQ.clamp(min=1).unsqueeze(2)).flatten(1)


class UserTower(Pooled):
    """MLP([row, T]), T = sum over i of softmax(W t)_i expert_i(t), t = [what the queries found, the
    user's columns].

    The user's columns are profile, and the means of the sequences' static parts. Behaviours of the
    window are in the row's means alone, for T is the same for all candidates, of whom one may not
    see what another may. Context belongs to a request, of which a training row holds many: it
    stands in the candidate's columns, and no query is made of it.
    """

    Config = UserTowerConfig

    def __init__(
        self, schema: Schema, config: UserTowerConfig, tables: Tables, scales: Scales
    ) -> None:
        super().__init__(schema, config, tables, scales)
        sequences = {n: part for n, part in self.behaviours.items() if isinstance(part, Behaviours)}
        self.attention = MultiQueryAttention(self.user_columns, sequences, config)
        found = [(f"query {n}", config.query_width) for n in range(config.queries)]
        read = [*found, *self.user_columns]
        self.experts = Experts(read, config.experts, config.expert_hidden, config.dropout)
        self.gate = Gate(read, [("experts", config.experts)])
        self._of_tower = config.expert_hidden[-1]
        self.columns.append(("user tower()", self._of_tower))
        self.width = sum(width for _, width in self.columns)
        self.mlp = mlp(self.width, *config.hidden, len(schema.tasks), dropout=config.dropout)

    def layouts(self) -> Layouts:
        return {"mlp.0.weight": (None, self.columns)}

    def logits(self, row_CD: torch.Tensor) -> torch.Tensor:
        return self.mlp(row_CD)

    def pool(
        self, batch: JaggedBatch, profile_BD: torch.Tensor, parts: dict[Group, torch.Tensor]
    ) -> UserTowerPrefix:
        pooled = super().pool(batch, profile_BD, parts)
        static = {group: parts[group] for group in self.schema.static}
        read_BD = torch.cat([self.attention(pooled.user_BD, static, batch), pooled.user_BD], dim=1)
        return UserTowerPrefix(
            pooled.profile_BD,
            pooled.static_BD,
            pooled.realtime,
            pooled.realtime_sums,
            self.gate(read_BD, self.experts(read_BD)),
        )

    def rows(
        self, prefix: PooledPrefix, batch: JaggedBatch, candidate_CD: torch.Tensor
    ) -> torch.Tensor:
        assert isinstance(prefix, UserTowerPrefix)
        tower_CH = prefix.tower_BH[users_of(batch, CANDIDATES)]
        return torch.cat([super().rows(prefix, batch, candidate_CD), tower_CH], dim=1)

    def forward_flops(self, batch: JaggedBatch) -> torch.Tensor:
        """Of a candidate's MLP, a user's queries and experts, a behaviour's key and value, and two
        products of a query's width for each query and behaviour."""
        of_user = linear_flops(self.attention.queries) + linear_flops(self.experts)
        of_user += linear_flops(self.gate) + self.gate.flops(self._of_tower)
        total = batch.candidates * linear_flops(self.mlp) + batch.users * of_user
        for group in self.schema.static:
            of_behaviour = linear_flops(self.attention.keys_values[group.token])
            of_behaviour += 4 * self.attention.count * self.attention.width
            total += batch.counts[group] * of_behaviour
        return torch.full((), total, device=batch.device)
