"""The HSTU layer as MTGR has it: group norms, SiLU on all four projections, no feed-forward."""

import torch
from hstu_kernels import (
    gated_group_layer_norm,
    group_layer_norm,
    hstu_attention,
    jagged_split,
    linear_silu,
)
from torch import nn

from rayrank.model.segments import GROUPS, Layouts
from rayrank.model.sequence import Sequence


class GroupLayerNorm(nn.Module):
    """The gain and bias of each group of tokens; statistics are per token."""

    def __init__(self, groups: int, width: int) -> None:
        super().__init__()
        self.weight_GD = nn.Parameter(torch.ones(groups, width))
        self.bias_GD = nn.Parameter(torch.zeros(groups, width))

    def layouts(self) -> Layouts:
        return {"weight_GD": (GROUPS, None), "bias_GD": (GROUPS, None)}

    def forward(self, x_TD: torch.Tensor, group_T: torch.Tensor) -> torch.Tensor:
        """[T, D] -> [T, D]."""
        return group_layer_norm(x_TD, group_T, self.weight_GD, self.bias_GD)

    def gated(self, o_TD: torch.Tensor, u_TD: torch.Tensor, group_T: torch.Tensor) -> torch.Tensor:
        """The norm of o * u, [T, D] -> [T, D]."""
        return gated_group_layer_norm(o_TD, u_TD, group_T, self.weight_GD, self.bias_GD)


class HSTULayer(nn.Module):
    """x + W_o GLN(attention(SiLU(W GLN(x))) * u), arXiv 2505.18654, equations 3 to 6.

    `forward` is its three steps in a row. They stand apart for who keeps keys and values.
    """

    def __init__(
        self, groups: int, width: int, heads: int, attention_length: int, dropout: float
    ) -> None:
        super().__init__()
        self.heads, self.width = heads, width
        self.scale = 1.0 / attention_length
        self.norm = GroupLayerNorm(groups, width)
        self.project = nn.Linear(width, 4 * width)
        self.gate_norm = GroupLayerNorm(groups, width)
        self.output = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def layouts(self) -> Layouts:
        of_heads = [(f"head {head}", self.width // self.heads) for head in range(self.heads)]
        rows = [(f"{part} of {head}", width) for part in "uqkv" for head, width in of_heads]
        return {
            "project.weight": (rows, None),
            "project.bias": (rows,),
            "gate_norm.weight_GD": (GROUPS, of_heads),
            "gate_norm.bias_GD": (GROUPS, of_heads),
            "output.weight": (None, of_heads),
        }

    def forward(self, x_TD: torch.Tensor, layout: Sequence, last: bool = False) -> torch.Tensor:
        """[T, D] -> [T, D] for the tokens of `layout`; of the last one, `candidates`."""
        if last:
            return self.candidates(x_TD, layout)
        u_TD, q_TD, k_TD, v_TD = self.uqkv(x_TD, layout.group_T)
        o_TD = self.attend(q_TD, k_TD, v_TD, layout.offsets, layout.visible_end)
        return self.update(x_TD, o_TD, u_TD, layout.group_T)

    def candidates(self, x_TD: torch.Tensor, layout: Sequence) -> torch.Tensor:
        """[T, D] -> [C, D]: what `forward` makes of the candidates, of whom alone it needs queries,
        gates, attention and output. For the last layer: nobody reads what becomes of the others."""

        def only(of_T: torch.Tensor) -> torch.Tensor:
            *_, of_C = jagged_split(of_T, layout.segment_offsets, layout.segment_tokens)
            return of_C

        group_C, seen_C = only(torch.stack([layout.group_T, layout.visible_end], dim=1)).unbind(1)
        n_TD = self.norm(x_TD, layout.group_T)
        k_TD, v_TD = self._project(n_TD, 2, 4)
        u_CD, q_CD = self._project(only(n_TD), 0, 2)
        o_CD = self.attend(q_CD, k_TD, v_TD, layout.offsets, seen_C, layout.segment_offsets[-1])
        return self.update(only(x_TD), o_CD, u_CD, group_C)

    def uqkv(self, x_TD: torch.Tensor, group_T: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Gate, queries, keys and values, [T, D] each."""
        return self._project(self.norm(x_TD, group_T), 0, 4)

    def keys_values(self, x_TD: torch.Tensor, group_T: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Keys and values alone, [T, D] each."""
        return self._project(self.norm(x_TD, group_T), 2, 4)

    def _project(self, n_TD: torch.Tensor, first: int, last: int) -> tuple[torch.Tensor, ...]:
        """The parts [first, last) of u, q, k, v."""
        rows = slice(first * self.width, last * self.width)
        weight_ND, bias_N = self.project.weight[rows], self.project.bias[rows]
        return linear_silu(n_TD, weight_ND, bias_N, [self.width] * (last - first))

    def attend(
        self,
        q_QD: torch.Tensor,
        k_TD: torch.Tensor,
        v_TD: torch.Tensor,
        offsets: torch.Tensor,
        visible_end: torch.Tensor,
        query_offsets: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """What each query takes from the tokens it sees, [Q, D]; queries are all tokens, or with
        `query_offsets` [B + 1] the last ones of each user. offsets [B + 1] and visible_end [Q] are
        `Sequence`'s."""
        head_dim = self.width // self.heads
        q_QHD, k_THD, v_THD = (
            part.unflatten(1, (self.heads, head_dim)) for part in (q_QD, k_TD, v_TD)
        )
        o_QHD = hstu_attention(
            q_QHD,
            k_THD,
            v_THD,
            offsets,
            visible_end,
            query_offsets=query_offsets,
            alpha=head_dim**-0.5,
            scale=self.scale,
        )
        return o_QHD.flatten(1)

    def update(
        self, x_TD: torch.Tensor, o_TD: torch.Tensor, u_TD: torch.Tensor, group_T: torch.Tensor
    ) -> torch.Tensor:
        """The tokens with what they took, gated, added to them: [T, D]."""
        return x_TD + self.dropout(self.output(self.gate_norm.gated(o_TD, u_TD, group_T)))
