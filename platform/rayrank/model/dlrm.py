"""A DLRM as ranking teams run it: one row per candidate, history pooled to its mean."""

import torch

from rayrank.data.jagged import Group, JaggedBatch
from rayrank.embedding.tables import Tables
from rayrank.model.config import DLRMConfig
from rayrank.model.features import Features, Scales, behaviour_ages, lookup, mlp
from rayrank.model.mtgr import AGES
from rayrank.model.ranker import Ranker
from rayrank.model.sequence import known_before
from rayrank.schema import Schema


class DLRM(Ranker):
    """MLP over [profile, mean history, mean realtime, candidate] (after arXiv 1906.00091).

    A candidate's realtime mean covers what its token could see in MTGR, so neither model knows
    more than the other.
    """

    def __init__(self, schema: Schema, config: DLRMConfig, tables: Tables, scales: Scales) -> None:
        super().__init__(schema)
        self.tables = tables
        self.profile = Features(schema, "profile", scales, config.embedding_dropout)
        self.behaviour = Features(schema, "behaviour", scales, config.embedding_dropout)
        self.candidate = Features(schema, "candidate", scales, config.embedding_dropout)
        width = self.profile.width + 2 * (self.behaviour.width + AGES + 1) + self.candidate.width
        self.mlp = mlp(width, *config.hidden, len(schema.tasks), dropout=config.dropout)

    def forward(self, batch: JaggedBatch) -> torch.Tensor:
        vectors = lookup(batch, self.schema, self.tables)
        user_C = torch.repeat_interleave(batch.lengths("candidates"), output_size=batch.candidates)

        history = self._behaviours(batch, vectors, "history")
        history_B = batch.lengths("history")
        until_B = history_B.cumsum(0)
        columns = [_mean(history, until_B - history_B, until_B)[user_C]]
        realtime_B = batch.lengths("realtime")
        first_C = (realtime_B.cumsum(0) - realtime_B)[user_C]
        seen_C = known_before(batch, "candidates")
        columns.append(
            _mean(self._behaviours(batch, vectors, "realtime"), first_C, first_C + seen_C)
        )
        if self.profile.width:
            columns.append(self.profile(batch, vectors, "profile")[user_C])
        columns.append(self.candidate(batch, vectors, "candidates"))
        return self.mlp(torch.cat(columns, dim=1)).float()

    def _behaviours(
        self, batch: JaggedBatch, vectors: dict[str, torch.Tensor], group: Group
    ) -> torch.Tensor:
        features = [self.behaviour(batch, vectors, group)] if self.behaviour.width else []
        return torch.cat([*features, behaviour_ages(batch, group)], dim=1)


def _mean(values_ND: torch.Tensor, begin: torch.Tensor, end: torch.Tensor) -> torch.Tensor:
    """Means over the ranges [begin, end) [n, D + 1], and the logarithm of 1 + their length."""
    # In float64: differences of long running sums would lose float32's precision.
    sums = torch.cat([values_ND.new_zeros(1, values_ND.shape[1]), values_ND]).double().cumsum(0)
    count = (end - begin).unsqueeze(1)
    means = ((sums[end] - sums[begin]) / count.clamp(min=1)).to(values_ND.dtype)
    return torch.cat([means, torch.log1p(count.to(values_ND.dtype))], dim=1)
