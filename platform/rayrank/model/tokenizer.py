"""What MTGR makes of features: tokens, one per profile feature, behaviour and candidate."""

import torch
from torch import nn

from rayrank.data.jagged import JaggedBatch
from rayrank.model.features import Behaviours, Features, Scales, Vectors, embedded, mlp
from rayrank.model.flops import linear_flops
from rayrank.model.segments import Layouts
from rayrank.model.sequence import merge_realtime
from rayrank.schema import CANDIDATES, PROFILE, Group, Schema


class Tokenizer(nn.Module):
    """Features to tokens of one width: [tokens, d_model]."""

    def __init__(self, schema: Schema, width: int, dropout: float, scales: Scales) -> None:
        """dropout: of the vectors of ids."""
        super().__init__()
        self.schema = schema
        self.profile = Features(schema, PROFILE.token, scales, dropout)
        self.profile_tokens = nn.ModuleDict(
            {name: nn.Linear(dim, width) for name, dim in self.profile.columns()}
        )
        behaviours = {name: Behaviours(schema, name, scales, dropout) for name in schema.sequences}
        self.behaviours = nn.ModuleDict(behaviours)
        self.behaviour_tokens = nn.ModuleDict(
            {name: mlp(part.width, width, width) for name, part in behaviours.items()}
        )
        self.candidate = Features(schema, CANDIDATES.token, scales, dropout)
        # Crosses of many features are made here, so this one is wide.
        self.candidate_token = mlp(self.candidate.width, 4 * width, width)
        self._columns = {f"behaviour_tokens.{n}": of.columns() for n, of in behaviours.items()}
        self._columns["candidate_token"] = self.candidate.columns()

    def layouts(self) -> Layouts:
        return {f"{name}.0.weight": (None, columns) for name, columns in self._columns.items()}

    def forward(self, batch: JaggedBatch, vectors: Vectors) -> list[torch.Tensor]:
        """Per segment of `sequence` [tokens, d_model]."""
        return [*self.of_prefix(batch, vectors), self.of_candidates(batch, vectors)]

    def of_prefix(self, batch: JaggedBatch, vectors: Vectors) -> list[torch.Tensor]:
        """Per segment [tokens, d_model]: profile, static parts, merged realtime."""
        static = [self._behaviours(batch, vectors, group) for group in self.schema.static]
        profile = self._profile(batch, vectors) if self.profile_tokens else self._no_tokens()
        return [profile, *static, self.of_realtime(batch, vectors)]

    def of_realtime(self, batch: JaggedBatch, vectors: Vectors) -> torch.Tensor:
        """[R, d_model], merged."""
        parts = [self._behaviours(batch, vectors, group) for group in self.schema.realtime]
        return merge_realtime(batch, parts) if parts else self._no_tokens()

    def of_candidates(self, batch: JaggedBatch, vectors: Vectors) -> torch.Tensor:
        """[C, d_model]"""
        c_CD: torch.Tensor = self.candidate_token(self.candidate(batch, vectors, CANDIDATES))
        return c_CD

    def flops(self, batch: JaggedBatch) -> int:
        """Of making a batch's tokens."""
        behaviours = sum(
            batch.counts[group] * linear_flops(self.behaviour_tokens[group.token])
            for group in (*self.schema.static, *self.schema.realtime)
        )
        profile = batch.users * linear_flops(self.profile_tokens)
        return profile + behaviours + batch.candidates * linear_flops(self.candidate_token)

    def _no_tokens(self) -> torch.Tensor:
        """A segment of none, in the dtype that tokens have under autocast."""
        weight = next(self.candidate_token.parameters())
        none_D: torch.Tensor = self.candidate_token(weight.new_empty(0, self.candidate.width))
        return none_D.detach()

    def _behaviours(self, batch: JaggedBatch, vectors: Vectors, group: Group) -> torch.Tensor:
        features = self.behaviours[group.token](batch, vectors, group)
        tokens: torch.Tensor = self.behaviour_tokens[group.token](features)
        return tokens

    def _profile(self, batch: JaggedBatch, vectors: Vectors) -> torch.Tensor:
        columns = {
            name: self.profile.dropout(embedded(batch, vectors, PROFILE, name, feature))
            for name, feature in self.profile.embedded.items()
        }
        if self.profile.numeric:
            numbers = self.profile.numbers(batch, PROFILE)
            columns |= {n: numbers[:, i : i + 1] for i, n in enumerate(self.profile.numeric)}
        columns |= {n: batch.vectors(PROFILE, n, w) for n, w in self.profile.vectors.items()}
        # [B, P, D] flattened: a user's profile tokens lie side by side.
        tokens = [self.profile_tokens[name](column) for name, column in columns.items()]
        return torch.stack(tokens, dim=1).flatten(0, 1)
