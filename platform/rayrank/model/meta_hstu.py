"""HSTU as Meta's ranking layer defines it (generative-recommenders; arXiv 2402.17152), to stand
beside MTGR's: the same tokens, mask and heads."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.functional import linear, silu

from rayrank.model.hstu import EncoderLayer, GroupLayerNorm
from rayrank.model.mtgr import MTGR, EncoderConfig
from rayrank.model.segments import Layouts


class HSTUConfig(EncoderConfig):
    """HSTU with Meta's ranking layer, on MTGR's tokens. Theirs is `mask: causal`."""

    kind: str = "hstu"
    """Which model this configures."""

    def pair_in_tokens(self) -> float:
        """As of MTGR, of seven products of d_model^2 for a token."""
        return 2 / (7 * self.d_model)


class MetaLayer(EncoderLayer):
    """x + W_o [u, o, u * LN(o)], where u = SiLU(W_u n), q, k, v = W n, n = LN(x), and o is HSTU's
    attention.

    Unlike MTGR's: one norm for all groups of tokens, SiLU on u alone, and what is added reads the
    gate and what a token took beside their product. Unlike theirs: attention is divided by a
    constant and not by the batch's longest sequence, and dropout is of the layer's output, as in
    MTGR's, and not of what that is made of. (Their norm of o may be of each head: ours is of all.)
    """

    read = 3

    def __init__(self, width: int, heads: int, attention_length: int, dropout: float) -> None:
        super().__init__(width, heads, attention_length)
        self.norm = GroupLayerNorm(1, width)
        self.project = nn.Linear(width, len(self.parts) * width)
        self.taken_norm = GroupLayerNorm(1, width)
        self.output = nn.Linear(self.read * width, width, bias=False)
        self.dropout = nn.Dropout(dropout)

    def layouts(self) -> Layouts:
        rows, of_heads = self.of_heads(*self.parts), self.of_heads("o")
        return {
            "project.weight": (rows, None),
            "project.bias": (rows,),
            "taken_norm.weight_GD": (self.taken_norm.rows, of_heads),
            "taken_norm.bias_GD": (self.taken_norm.rows, of_heads),
            "output.weight": (None, self.of_heads("u", "o", "u * LN(o)")),
        }

    def projected(self, n_TD: torch.Tensor, parts: str) -> Sequence[torch.Tensor]:
        rows = self.rows_of(parts)
        each = linear(n_TD, self.project.weight[rows], self.project.bias[rows]).chunk(len(parts), 1)
        return [silu(x_TD) if part == "u" else x_TD for part, x_TD in zip(parts, each, strict=True)]

    def update(
        self,
        x_TD: torch.Tensor,
        o_TD: torch.Tensor,
        gate: Sequence[torch.Tensor],
        group_T: torch.Tensor,
    ) -> torch.Tensor:
        (u_TD,) = gate
        read = torch.cat([u_TD, o_TD, u_TD * self.taken_norm(o_TD, group_T)], dim=1)
        return x_TD + self.dropout(self.output(read))


class HSTU(MTGR):
    """MTGR with Meta's layers."""

    Config = HSTUConfig

    def layer(self, config: EncoderConfig) -> EncoderLayer:
        return MetaLayer(config.d_model, config.heads, config.attention_length, config.dropout)
