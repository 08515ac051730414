"""A DLRM as ranking teams run it: one row per candidate, history pooled to its mean."""

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field

from rayrank.data.jagged import JaggedBatch
from rayrank.embedding.tables import Tables
from rayrank.model.features import Behaviours, Features, Scales, Vectors, mlp
from rayrank.model.ranker import ModelConfig, Ranker
from rayrank.model.sequence import Realtime, known_before, realtime_of, users_of
from rayrank.schema import Schema
from rayrank.strict import Share


class DLRMConfig(ModelConfig):
    """Embeddings, mean-pooled history, cross features, an MLP: what a user has today."""

    kind: str = "dlrm"
    """Which model this configures."""
    hidden: Annotated[list[int], Field(min_length=1)] = [256, 128]
    """Widths of the MLP's hidden layers."""
    dropout: Share = 0.0
    """Of each hidden layer's output."""
    embedding_dropout: Share = 0.0
    """Of the vectors of ids."""


@dataclass(frozen=True)
class DLRMPrefix:
    """What a DLRM keeps of B users with R realtime events in all."""

    profile_BD: torch.Tensor
    history_BD: torch.Tensor
    """The mean."""
    realtime: Realtime
    realtime_sums: torch.Tensor
    """float64 [R + 1, D]: `_running_sums`, of which each candidate takes its part."""


class DLRM(Ranker):
    """MLP over [profile, mean history, mean realtime, candidate] (after arXiv 1906.00091).

    A candidate's realtime mean covers what its token could see in MTGR, so neither model knows
    more than the other.
    """

    Config = DLRMConfig

    def __init__(self, schema: Schema, config: DLRMConfig, tables: Tables, scales: Scales) -> None:
        super().__init__(schema, tables)
        self.profile = Features(schema, "profile", scales, config.embedding_dropout)
        self.behaviour = Behaviours(schema, scales, config.embedding_dropout)
        self.candidate = Features(schema, "candidate", scales, config.embedding_dropout)
        width = self.profile.width + 2 * (self.behaviour.width + 1) + self.candidate.width
        self.mlp = mlp(width, *config.hidden, len(schema.tasks), dropout=config.dropout)

    def encode_prefix(self, batch: JaggedBatch, vectors: Vectors) -> DLRMPrefix:
        history_HD = self.behaviour(batch, vectors, "history")
        realtime_RD = self.behaviour(batch, vectors, "realtime")
        lengths_B = batch.lengths("history")
        until_B = lengths_B.cumsum(0)
        history_BD = _mean(
            _running_sums(history_HD), until_B - lengths_B, until_B, history_HD.dtype
        )
        profile_BD = self.profile(batch, vectors, "profile")
        return DLRMPrefix(profile_BD, history_BD, realtime_of(batch), _running_sums(realtime_RD))

    def score_candidates(
        self, prefix: DLRMPrefix, batch: JaggedBatch, vectors: Vectors
    ) -> torch.Tensor:
        user_C = users_of(batch, "candidates")
        realtime_B = prefix.realtime.lengths_B
        first_C = (realtime_B.cumsum(0) - realtime_B)[user_C]
        seen_C = known_before(prefix.realtime, batch, "candidates")
        columns = [
            prefix.history_BD[user_C],
            _mean(prefix.realtime_sums, first_C, first_C + seen_C, prefix.history_BD.dtype),
            prefix.profile_BD[user_C],
            self.candidate(batch, vectors, "candidates"),
        ]
        return self.mlp(torch.cat(columns, dim=1)).float()


def _running_sums(values_ND: torch.Tensor) -> torch.Tensor:
    """[N + 1, D]: before each row the sum of those above it, and the whole sum."""
    # In float64: differences of long running sums would lose float32's precision.
    return torch.cat([values_ND.new_zeros(1, values_ND.shape[1]), values_ND]).double().cumsum(0)


def _mean(
    sums: torch.Tensor, begin: torch.Tensor, end: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    """Means over the rows [begin, end), and the logarithm of 1 + their number: [n, D + 1]."""
    count = (end - begin).unsqueeze(1)
    means = ((sums[end] - sums[begin]) / count.clamp(min=1)).to(dtype)
    return torch.cat([means, torch.log1p(count.to(dtype))], dim=1)
