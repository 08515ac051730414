"""One row of columns per candidate, each sequence pooled to its mean: what the DLRM family reads.

A model of the family says what becomes of a row. Rows know of each candidate what its token could
see in MTGR (`model.sequence`), so no model of either kind knows more than another.
"""

from dataclasses import dataclass

import torch
from torch import nn

from rayrank.data.jagged import JaggedBatch
from rayrank.embedding.tables import Tables
from rayrank.model.features import Behaviours, Features, Scales, Vectors
from rayrank.model.flops import linear_flops
from rayrank.model.ranker import ModelConfig, Ranker
from rayrank.model.segments import named
from rayrank.model.sequence import Realtime, known_before, realtime_of, users_of
from rayrank.schema import CANDIDATES, PROFILE, Group, Schema
from rayrank.strict import Share


class PooledConfig(ModelConfig):
    """What every config of the family has."""

    dropout: Share = 0.0
    """Of each hidden layer's output."""
    embedding_dropout: Share = 0.0
    """Of the vectors of ids."""


@dataclass(frozen=True)
class PooledPrefix:
    """What is kept of B users."""

    profile_BD: torch.Tensor
    static_BD: torch.Tensor
    """The means of the sequences' static parts, side by side."""
    realtime: tuple[Realtime, ...]
    """Of each sequence."""
    realtime_sums: tuple[torch.Tensor, ...]
    """Of each sequence float64 [R + 1, D]: `_running_sums`, of which each candidate takes its
    part."""

    @property
    def user_BD(self) -> torch.Tensor:
        """What is the same for all candidates of a user."""
        return torch.cat([self.static_BD, self.profile_BD], dim=1)


class Pooled(Ranker):
    """[mean of each sequence's static and realtime part, profile, candidate] in, logits out.

    A subclass makes its layers for rows of `self.width`, whose columns `self.columns` names, and
    has `logits`.
    """

    def __init__(
        self, schema: Schema, config: PooledConfig, tables: Tables, scales: Scales
    ) -> None:
        super().__init__(schema, tables)
        dropout = config.embedding_dropout
        self.profile = Features(schema, PROFILE.token, scales, dropout)
        behaviours = {name: Behaviours(schema, name, scales, dropout) for name in schema.sequences}
        self.behaviours = nn.ModuleDict(behaviours)
        self.candidate = Features(schema, CANDIDATES.token, scales, dropout)
        static, realtime = (
            [
                column
                for name, of in behaviours.items()
                for column in named(f"{part} {name}", [*of.columns(), ("how many()", 1)])
            ]
            for part in ("static", "realtime")
        )
        profile = named("profile", self.profile.columns())
        self.user_columns = [*static, *profile]
        """Of what is the same for all candidates of a user: `PooledPrefix.user_BD`."""
        self.columns = [*static, *realtime, *profile, *named("candidate", self.candidate.columns())]
        self.width = sum(width for _, width in self.columns)

    def logits(self, row_CD: torch.Tensor) -> torch.Tensor:
        """[candidates, tasks] of rows [candidates, width]."""
        raise NotImplementedError

    def encode_prefix(self, batch: JaggedBatch, vectors: Vectors) -> PooledPrefix:
        profile_BD = self.profile(batch, vectors, PROFILE)
        return self.pool(batch, profile_BD, self.parts(batch, vectors))

    def parts(self, batch: JaggedBatch, vectors: Vectors) -> dict[Group, torch.Tensor]:
        """[behaviours, width] of each part of each sequence, the static ones first."""
        return {
            group: self.behaviours[group.token](batch, vectors, group)
            for group in (*self.schema.static, *self.schema.realtime)
        }

    def pool(
        self, batch: JaggedBatch, profile_BD: torch.Tensor, parts: dict[Group, torch.Tensor]
    ) -> PooledPrefix:
        """The prefix, of profiles and `parts`."""
        static = [profile_BD[:, :0]]
        for group in self.schema.static:
            lengths_B = batch.lengths(group)
            until_B = lengths_B.cumsum(0)
            sums = _running_sums(parts[group])
            static.append(_mean(sums, until_B - lengths_B, until_B, parts[group].dtype))
        realtime = self.schema.realtime
        return PooledPrefix(
            profile_BD,
            torch.cat(static, dim=1),
            tuple(realtime_of(batch, [group]) for group in realtime),
            tuple(_running_sums(parts[group]) for group in realtime),
        )

    def rows(
        self, prefix: PooledPrefix, batch: JaggedBatch, candidate_CD: torch.Tensor
    ) -> torch.Tensor:
        """[candidates, width], of a batch's candidates and their features."""
        user_C = users_of(batch, CANDIDATES)
        columns = [prefix.static_BD[user_C]]
        for realtime, sums in zip(prefix.realtime, prefix.realtime_sums, strict=True):
            columns.append(_mean(sums, *visible(realtime, batch), prefix.static_BD.dtype))
        columns += [prefix.profile_BD[user_C], candidate_CD]
        return torch.cat(columns, dim=1)

    def score_candidates(
        self, prefix: PooledPrefix, batch: JaggedBatch, vectors: Vectors
    ) -> torch.Tensor:
        candidate_CD = self.candidate(batch, vectors, CANDIDATES)
        return self.logits(self.rows(prefix, batch, candidate_CD)).float()

    def forward_flops(self, batch: JaggedBatch) -> torch.Tensor:
        """Of what becomes of a row: sums over behaviours are hardly anything beside it."""
        flops = batch.candidates * self.row_flops()
        return torch.full((), flops, device=batch.device)

    def row_flops(self) -> int:
        """Of `logits`, for one row: that of the linear layers, each of which it goes through
        once."""
        return linear_flops(self)


def visible(realtime: Realtime, batch: JaggedBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """int64 [C] twice: of all users' realtime behaviours in a sequence, end to end, those from the
    one to the other were known strictly before a candidate was shown."""
    first_C = (realtime.lengths_B.cumsum(0) - realtime.lengths_B)[users_of(batch, CANDIDATES)]
    return first_C, first_C + known_before(realtime, batch)


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
