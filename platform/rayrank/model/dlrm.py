"""A DLRM as ranking teams run it: one row per candidate, each sequence pooled to its mean."""

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from rayrank.data.jagged import JaggedBatch
from rayrank.embedding.tables import Tables
from rayrank.model.features import Behaviours, Features, Scales, Vectors, mlp
from rayrank.model.flops import linear_flops
from rayrank.model.ranker import ModelConfig, Ranker
from rayrank.model.segments import Layouts, Segments
from rayrank.model.sequence import Realtime, known_before, realtime_of, users_of
from rayrank.schema import CANDIDATES, PROFILE, Schema
from rayrank.strict import Share


class DLRMConfig(ModelConfig):
    """Embeddings, mean-pooled sequences, cross features, an MLP: what a user has today."""

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
    """What a DLRM keeps of B users."""

    profile_BD: torch.Tensor
    static_BD: torch.Tensor
    """The means of the sequences' static parts, side by side."""
    realtime: tuple[Realtime, ...]
    """Of each sequence."""
    realtime_sums: tuple[torch.Tensor, ...]
    """Of each sequence float64 [R + 1, D]: `_running_sums`, of which each candidate takes its
    part."""


class DLRM(Ranker):
    """MLP over [profile, mean of each sequence's static and realtime part, candidate] (after
    arXiv 1906.00091).

    A candidate's realtime means cover what its token could see in MTGR, so neither model knows
    more than the other.
    """

    Config = DLRMConfig

    def __init__(self, schema: Schema, config: DLRMConfig, tables: Tables, scales: Scales) -> None:
        super().__init__(schema, tables)
        dropout = config.embedding_dropout
        self.profile = Features(schema, PROFILE.token, scales, dropout)
        behaviours = {name: Behaviours(schema, name, scales, dropout) for name in schema.sequences}
        self.behaviours = nn.ModuleDict(behaviours)
        self.candidate = Features(schema, CANDIDATES.token, scales, dropout)
        pooled = sum(2 * (part.width + 1) for part in behaviours.values())
        width = self.profile.width + pooled + self.candidate.width
        self.mlp = mlp(width, *config.hidden, len(schema.tasks), dropout=config.dropout)
        # As `score_candidates` lays them out.
        self._columns = [
            column
            for part in ("static", "realtime")
            for name, of in behaviours.items()
            for column in _named(f"{part} {name}", [*of.columns(), ("how many()", 1)])
        ]
        self._columns += _named("profile", self.profile.columns())
        self._columns += _named("candidate", self.candidate.columns())

    def layouts(self) -> Layouts:
        return {"mlp.0.weight": (None, self._columns)}

    def encode_prefix(self, batch: JaggedBatch, vectors: Vectors) -> DLRMPrefix:
        profile_BD = self.profile(batch, vectors, PROFILE)
        static = [profile_BD[:, :0]]
        for group in self.schema.static:
            static_SD = self.behaviours[group.token](batch, vectors, group)
            lengths_B = batch.lengths(group)
            until_B = lengths_B.cumsum(0)
            sums = _running_sums(static_SD)
            static.append(_mean(sums, until_B - lengths_B, until_B, static_SD.dtype))
        realtime = self.schema.realtime
        return DLRMPrefix(
            profile_BD,
            torch.cat(static, dim=1),
            tuple(realtime_of(batch, [group]) for group in realtime),
            tuple(
                _running_sums(self.behaviours[group.token](batch, vectors, group))
                for group in realtime
            ),
        )

    def score_candidates(
        self, prefix: DLRMPrefix, batch: JaggedBatch, vectors: Vectors
    ) -> torch.Tensor:
        user_C = users_of(batch, CANDIDATES)
        columns = [prefix.static_BD[user_C]]
        for realtime, sums in zip(prefix.realtime, prefix.realtime_sums, strict=True):
            first_C = (realtime.lengths_B.cumsum(0) - realtime.lengths_B)[user_C]
            until_C = first_C + known_before(realtime, batch)
            columns.append(_mean(sums, first_C, until_C, prefix.static_BD.dtype))
        columns += [prefix.profile_BD[user_C], self.candidate(batch, vectors, CANDIDATES)]
        return self.mlp(torch.cat(columns, dim=1)).float()

    def forward_flops(self, batch: JaggedBatch) -> torch.Tensor:
        """Of the MLP: sums over behaviours are hardly anything beside it."""
        flops = batch.candidates * linear_flops(self.mlp)
        return torch.full((), flops, device=batch.device)


def _named(part: str, columns: Segments) -> list[tuple[str, int]]:
    return [(f"{part}: {name}", width) for name, width in columns]


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
