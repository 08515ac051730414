"""DeepFM (arXiv 1703.04247): a factorisation machine and an MLP over the same columns."""

from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from rayrank.embedding.tables import Tables
from rayrank.model.features import Scales, mlp
from rayrank.model.pooled import Pooled, PooledConfig
from rayrank.model.segments import Layouts
from rayrank.schema import Schema
from rayrank.strict import Positive


class DeepFMConfig(PooledConfig):
    """DeepFM: first-order weights, products of each two fields, and an MLP, summed."""

    kind: str = "deepfm"
    """Which model this configures."""
    field_width: Positive = 16
    """Of a field's vector in the products of two."""
    hidden: Annotated[list[int], Field(min_length=1)] = [256, 128]
    """Widths of the MLP's hidden layers."""


class DeepFM(Pooled):
    """logit = w.x + sum over fields i < j of <v_i, v_j> + MLP(x).

    A field is what has a name in a candidate's row: one feature of the profile, of the candidate,
    or of a sequence's part, pooled. A product of two needs vectors of one width, which the paper's
    fields have, and ours have not: each field is projected to it, v_i = x_i W_i (of a number this
    is the paper's x_i V_i). The paper has one task: here all share the products, and each has its
    own weights for their coordinates, which start as the paper's ones.
    """

    Config = DeepFMConfig

    def __init__(
        self, schema: Schema, config: DeepFMConfig, tables: Tables, scales: Scales
    ) -> None:
        super().__init__(schema, config, tables, scales)
        tasks = len(schema.tasks)
        self.first_order = nn.Linear(self.width, tasks, bias=False)  # the MLP has one
        # All fields' W_i side by side. A layer's usual start, of the whole row's width, keeps the
        # sum over many products small.
        self.fields = nn.Linear(self.width, config.field_width, bias=False)
        self.products = nn.Linear(config.field_width, tasks, bias=False)
        nn.init.ones_(self.products.weight)
        self.mlp = mlp(self.width, *config.hidden, tasks, dropout=config.dropout)

    def layouts(self) -> Layouts:
        return {
            "first_order.weight": ([(task, 1) for task in self.schema.tasks], self.columns),
            "fields.weight": (None, self.columns),
            "products.weight": ([(task, 1) for task in self.schema.tasks], None),
            "mlp.0.weight": (None, self.columns),
        }

    def logits(self, row_CD: torch.Tensor) -> torch.Tensor:
        products_CV = self.pair_products(row_CD)
        return self.first_order(row_CD) + self.products(products_CV) + self.mlp(row_CD)

    def pair_products(self, row_CD: torch.Tensor) -> torch.Tensor:
        """[candidates, field width]: the sum of v_i * v_j over all pairs of fields.

        ((sum v)^2 - sum v^2) / 2, in time linear in the fields (Rendle's factorisation machines).
        """
        widths = [width for _, width in self.columns]
        parts = zip(row_CD.split(widths, 1), self.fields.weight.split(widths, 1), strict=True)
        v_CFV = torch.stack([nn.functional.linear(x_CW, w_VW) for x_CW, w_VW in parts], dim=1)
        return (v_CFV.sum(1).square() - v_CFV.square().sum(1)) / 2
