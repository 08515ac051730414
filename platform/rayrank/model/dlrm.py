"""A DLRM as ranking teams run it: an MLP over one row per candidate.

This is the DNN of the papers' tables (MTGR's DNN, the deep part of DeepFM and DCN-v2): there is no
other of that name here.
"""

from typing import Annotated

import torch
from pydantic import Field

from rayrank.embedding.tables import Tables
from rayrank.model.features import Scales, mlp
from rayrank.model.pooled import Pooled, PooledConfig
from rayrank.model.segments import Layouts
from rayrank.schema import Schema


class DLRMConfig(PooledConfig):
    """Embeddings, mean-pooled sequences, cross features, an MLP: what a user has today."""

    kind: str = "dlrm"
    """Which model this configures."""
    hidden: Annotated[list[int], Field(min_length=1)] = [256, 128]
    """Widths of the MLP's hidden layers."""


class DLRM(Pooled):
    """MLP over [mean of each sequence's static and realtime part, profile, candidate] (after
    arXiv 1906.00091)."""

    Config = DLRMConfig

    def __init__(self, schema: Schema, config: DLRMConfig, tables: Tables, scales: Scales) -> None:
        super().__init__(schema, config, tables, scales)
        self.mlp = mlp(self.width, *config.hidden, len(schema.tasks), dropout=config.dropout)

    def layouts(self) -> Layouts:
        return {"mlp.0.weight": (None, self.columns)}

    def logits(self, row_CD: torch.Tensor) -> torch.Tensor:
        return self.mlp(row_CD)
