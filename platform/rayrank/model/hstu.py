"""The HSTU layer as MTGR has it: group norms, SiLU on all four projections, no feed-forward."""

import torch
from hstu_kernels import gated_group_layer_norm, group_layer_norm, hstu_attention, linear_silu
from torch import nn

from rayrank.data.jagged import GROUPS
from rayrank.model.config import MTGRConfig
from rayrank.model.sequence import Sequence


class GroupLayerNorm(nn.Module):
    """The gain and bias of each group of tokens; statistics are per token."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight_GD = nn.Parameter(torch.ones(len(GROUPS), width))
        self.bias_GD = nn.Parameter(torch.zeros(len(GROUPS), width))

    def forward(self, x_TD: torch.Tensor, group_T: torch.Tensor) -> torch.Tensor:
        """[T, D] -> [T, D]."""
        return group_layer_norm(x_TD, group_T, self.weight_GD, self.bias_GD)

    def gated(self, o_TD: torch.Tensor, u_TD: torch.Tensor, group_T: torch.Tensor) -> torch.Tensor:
        """The norm of o * u, [T, D] -> [T, D]."""
        return gated_group_layer_norm(o_TD, u_TD, group_T, self.weight_GD, self.bias_GD)


class HSTULayer(nn.Module):
    """x + W_o GLN(attention(SiLU(W GLN(x))) * u), arXiv 2505.18654, equations 3 to 6."""

    def __init__(self, config: MTGRConfig) -> None:
        super().__init__()
        self.heads, self.width = config.heads, config.d_model
        self.scale = 1.0 / config.attention_length
        self.norm = GroupLayerNorm(self.width)
        self.project = nn.Linear(self.width, 4 * self.width)
        self.gate_norm = GroupLayerNorm(self.width)
        self.output = nn.Linear(self.width, self.width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x_TD: torch.Tensor, layout: Sequence) -> torch.Tensor:
        """[T, D] -> [T, D] for the tokens of `layout`."""
        n_TD = self.norm(x_TD, layout.group_T)
        u_TD, q_TD, k_TD, v_TD = linear_silu(
            n_TD, self.project.weight, self.project.bias, [self.width] * 4
        )
        head_dim = self.width // self.heads
        q_THD, k_THD, v_THD = (
            part.unflatten(1, (self.heads, head_dim)) for part in (q_TD, k_TD, v_TD)
        )
        o_THD = hstu_attention(
            q_THD,
            k_THD,
            v_THD,
            layout.offsets,
            layout.visible_end,
            alpha=head_dim**-0.5,
            scale=self.scale,
        )
        gated_TD = self.gate_norm.gated(o_THD.flatten(1), u_TD, layout.group_T)
        return x_TD + self.dropout(self.output(gated_TD))
