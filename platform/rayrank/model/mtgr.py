"""MTGR (arXiv 2505.18654): a user's whole sequence in, a logit per task and candidate out."""

import torch
from hstu_kernels import jagged_concat, jagged_split
from torch import nn

from rayrank.data.jagged import GROUPS, JaggedBatch
from rayrank.embedding.tables import Tables
from rayrank.model.config import MTGRConfig
from rayrank.model.features import Features, Scales, behaviour_ages, embedded, lookup, mlp
from rayrank.model.hstu import GroupLayerNorm, HSTULayer
from rayrank.model.ranker import Ranker
from rayrank.model.sequence import sequence
from rayrank.schema import Schema

AGES = 2


class MTGR(Ranker):
    """Tokenizer, HSTU encoder, one head per task."""

    def __init__(self, schema: Schema, config: MTGRConfig, tables: Tables, scales: Scales) -> None:
        super().__init__(schema)
        self.tables = tables
        self.tokenizer = Tokenizer(schema, config, scales)
        self.layers = nn.ModuleList(HSTULayer(config) for _ in range(config.layers))
        self.norm = GroupLayerNorm(config.d_model)
        self.heads = nn.ModuleList(mlp(config.d_model, 2 * config.d_model, 1) for _ in schema.tasks)

    def forward(self, batch: JaggedBatch) -> torch.Tensor:
        layout = sequence(batch, self.tokenizer.profile_features)
        tokens = self.tokenizer(batch, lookup(batch, self.schema, self.tables))
        x_TD = jagged_concat(tokens, layout.group_offsets)
        for layer in self.layers:
            x_TD = layer(x_TD, layout)
        *_, c_CD = jagged_split(x_TD, layout.group_offsets, layout.group_tokens)
        group_C = layout.group_T.new_full((batch.candidates,), GROUPS.index("candidates"))
        c_CD = self.norm(c_CD, group_C)
        return torch.cat([head(c_CD) for head in self.heads], dim=1).float()


class Tokenizer(nn.Module):
    """Features to tokens of width d_model: one per profile feature, behaviour and candidate."""

    def __init__(self, schema: Schema, config: MTGRConfig, scales: Scales) -> None:
        super().__init__()
        width = config.d_model
        self.profile = Features(schema, "profile", scales, config.embedding_dropout)
        self.profile_features = len(schema.features_of("profile"))
        self.profile_tokens = nn.ModuleDict(
            {
                name: nn.Linear(dim, width)
                for name, dim in zip(
                    [*self.profile.embedded, *self.profile.numeric],
                    [*self.profile.dims, *(1 for _ in self.profile.numeric)],
                    strict=True,
                )
            }
        )
        self.behaviour = Features(schema, "behaviour", scales, config.embedding_dropout)
        self.behaviour_token = mlp(self.behaviour.width + AGES, width, width)
        self.candidate = Features(schema, "candidate", scales, config.embedding_dropout)
        # Crosses of many features are made here, so this one is wide.
        self.candidate_token = mlp(self.candidate.width, 4 * width, width)

    def forward(self, batch: JaggedBatch, vectors: dict[str, torch.Tensor]) -> list[torch.Tensor]:
        """Per group [tokens, d_model]: profile, history, realtime, candidates."""
        tokens = [self._profile(batch, vectors)] if self.profile_features else []
        for group in ("history", "realtime"):
            features = [self.behaviour(batch, vectors, group)] if self.behaviour.width else []
            tokens.append(
                self.behaviour_token(torch.cat([*features, behaviour_ages(batch, group)], dim=1))
            )
        tokens.append(self.candidate_token(self.candidate(batch, vectors, "candidates")))
        if not self.profile_features:
            tokens.insert(0, tokens[0][:0].detach())  # a group of no tokens is one too
        return tokens

    def _profile(self, batch: JaggedBatch, vectors: dict[str, torch.Tensor]) -> torch.Tensor:
        columns = {
            name: self.profile.dropout(embedded(batch, vectors, "profile", name, feature))
            for name, feature in self.profile.embedded.items()
        }
        if self.profile.numeric:
            numbers = self.profile.numbers(batch, "profile")
            columns |= {n: numbers[:, i : i + 1] for i, n in enumerate(self.profile.numeric)}
        # [B, P, D] flattened: a user's profile tokens lie side by side.
        tokens = [self.profile_tokens[name](column) for name, column in columns.items()]
        return torch.stack(tokens, dim=1).flatten(0, 1)
