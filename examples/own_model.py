"""A model of one's own: a user's vector against each candidate's, for every task.

    PYTHONPATH=. python jobs/demo.py --config examples/own_model.yaml

One file, of which no part of rayrank knows; own_model.yaml names it and gives it its config.
docs/models.md says what each method owes.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from rayrank import ModelConfig, Ranker, Schema
from rayrank.data.jagged import JaggedBatch
from rayrank.embedding.tables import Tables
from rayrank.model.features import Behaviours, Features, Scales, Vectors, mlp
from rayrank.model.sequence import users_of
from rayrank.schema import CANDIDATES, PROFILE
from torch import nn


class TwoTowerConfig(ModelConfig):
    """What the run's config may say of it, beside `kind` and `embedding_std`."""

    width: Annotated[int, Field(gt=0)] = 32
    """Of a user's, and a candidate's, vector."""


@dataclass(frozen=True)
class Users:
    """What is kept of users before it is known what to score."""

    vectors_BKD: torch.Tensor
    """Users, tasks, width."""


class TwoTower(Ranker):
    """Two MLPs and a dot product."""

    Config = TwoTowerConfig

    def __init__(
        self, schema: Schema, config: TwoTowerConfig, tables: Tables, scales: Scales
    ) -> None:
        super().__init__(schema, tables)
        self.profile = Features(schema, "profile", scales, dropout=0.0)
        self.candidate = Features(schema, "candidate", scales, dropout=0.0)
        behaviours = {name: Behaviours(schema, name, scales, 0.0) for name in schema.sequences}
        self.behaviours = nn.ModuleDict(behaviours)
        self.shape = (len(schema.tasks), config.width)
        out = len(schema.tasks) * config.width
        pooled = sum(part.width for part in behaviours.values())
        self.user = mlp(self.profile.width + pooled, 2 * out, out)
        self.item = mlp(self.candidate.width, 2 * out, out)

    def encode_prefix(self, batch: JaggedBatch, vectors: Vectors) -> Users:
        columns = [self.profile(batch, vectors, PROFILE)]
        for group in self.schema.static:  # a sequence's behaviours from before today
            behaviours_ND = self.behaviours[group.token](batch, vectors, group)
            sums_BD = behaviours_ND.new_zeros(batch.users, behaviours_ND.shape[1])
            sums_BD = sums_BD.index_add(0, users_of(batch, group), behaviours_ND)
            columns.append(sums_BD / batch.lengths(group).clamp(min=1)[:, None])
        user_BD = torch.cat(columns, dim=1)
        return Users(self.user(user_BD).unflatten(1, self.shape))

    def score_candidates(self, prefix: Users, batch: JaggedBatch, vectors: Vectors) -> torch.Tensor:
        item_CD = self.item(self.candidate(batch, vectors, CANDIDATES))
        user_CKD = prefix.vectors_BKD[users_of(batch, CANDIDATES)]
        return (user_CKD * item_CD.unflatten(1, self.shape)).sum(-1).float()
