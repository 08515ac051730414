"""The HSTU layer as MTGR has it: group norms, SiLU on all four projections, no feed-forward."""

from collections.abc import Sequence as Several

import torch
from hstu_kernels import (
    gated_group_layer_norm,
    group_layer_norm,
    hstu_attention,
    jagged_split,
    linear_silu,
)
from torch import nn

from rayrank.model.segments import GROUPS, Layouts, Segments
from rayrank.model.sequence import Sequence


class GroupLayerNorm(nn.Module):
    """The gain and bias of each group of tokens, or one of all; statistics are per token."""

    def __init__(self, groups: int, width: int) -> None:
        """groups: 1 for a norm that all of them share."""
        super().__init__()
        self.groups = groups
        self.weight_GD = nn.Parameter(torch.ones(groups, width))
        self.bias_GD = nn.Parameter(torch.zeros(groups, width))

    def layouts(self) -> Layouts:
        return {"weight_GD": (self.rows, None), "bias_GD": (self.rows, None)}

    @property
    def rows(self) -> Segments:
        """What stands in its first dimension."""
        return [("every group", 1)] if self.groups == 1 else GROUPS

    def forward(self, x_TD: torch.Tensor, group_T: torch.Tensor) -> torch.Tensor:
        """[T, D] -> [T, D]."""
        return group_layer_norm(x_TD, self._row_of(group_T), self.weight_GD, self.bias_GD)

    def gated(self, o_TD: torch.Tensor, u_TD: torch.Tensor, group_T: torch.Tensor) -> torch.Tensor:
        """The norm of o * u, [T, D] -> [T, D]."""
        row_T = self._row_of(group_T)
        return gated_group_layer_norm(o_TD, u_TD, row_T, self.weight_GD, self.bias_GD)

    def _row_of(self, group_T: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(group_T) if self.groups == 1 else group_T


class EncoderLayer(nn.Module):
    """What HSTU's layers have in common: heads, who asks whom, and that of the last layer
    candidates alone are wanted. A subclass says what is projected, and what becomes of what a token
    took.

    `forward` is its three steps in a row. They stand apart for who keeps keys and values.
    """

    norm: GroupLayerNorm
    """Of what comes in."""
    parts = "uqkv"
    """What a token is projected to: a gate (or none), a query, a key and a value, side by side."""
    read = 1
    """How many widths the layer's last product reads."""

    def __init__(self, width: int, heads: int, attention_length: int) -> None:
        super().__init__()
        self.heads, self.width = heads, width
        self.scale = 1.0 / attention_length

    def projected(self, n_TD: torch.Tensor, parts: str) -> Several[torch.Tensor]:
        """Some of `self.parts` that stand side by side, [T, D] each."""
        raise NotImplementedError

    def update(
        self,
        x_TD: torch.Tensor,
        o_TD: torch.Tensor,
        gate: Several[torch.Tensor],
        group_T: torch.Tensor,
    ) -> torch.Tensor:
        """The tokens with what they took, o, added to them: [T, D]. gate: u [T, D], or nothing."""
        raise NotImplementedError

    def forward(self, x_TD: torch.Tensor, layout: Sequence, last: bool = False) -> torch.Tensor:
        """[T, D] -> [T, D] for the tokens of `layout`; of the last one, `candidates`."""
        if last:
            return self.candidates(x_TD, layout)
        *gate, q_TD, k_TD, v_TD = self.uqkv(x_TD, layout.group_T)
        o_TD = self.attend(q_TD, k_TD, v_TD, layout.offsets, layout.visible_end)
        return self.update(x_TD, o_TD, gate, layout.group_T)

    def candidates(self, x_TD: torch.Tensor, layout: Sequence) -> torch.Tensor:
        """[T, D] -> [C, D]: what `forward` makes of the candidates, of whom alone it needs queries,
        gates, attention and output. For the last layer: nobody reads what becomes of the others."""

        def only(of_T: torch.Tensor) -> torch.Tensor:
            *_, of_C = jagged_split(of_T, layout.segment_offsets, layout.segment_tokens)
            return of_C

        group_C, seen_C = only(torch.stack([layout.group_T, layout.visible_end], dim=1)).unbind(1)
        n_TD = self.norm(x_TD, layout.group_T)
        k_TD, v_TD = self.projected(n_TD, "kv")
        *gate, q_CD = self.projected(only(n_TD), self.parts.removesuffix("kv"))
        o_CD = self.attend(q_CD, k_TD, v_TD, layout.offsets, seen_C, layout.segment_offsets[-1])
        return self.update(only(x_TD), o_CD, gate, group_C)

    def uqkv(self, x_TD: torch.Tensor, group_T: torch.Tensor) -> Several[torch.Tensor]:
        """Gate (if there is one), queries, keys and values, [T, D] each."""
        return self.projected(self.norm(x_TD, group_T), self.parts)

    def keys_values(self, x_TD: torch.Tensor, group_T: torch.Tensor) -> Several[torch.Tensor]:
        """Keys and values alone, [T, D] each."""
        return self.projected(self.norm(x_TD, group_T), "kv")

    def rows_of(self, parts: str) -> slice:
        """Where some of `self.parts` stand in what all are projected to."""
        first = self.parts.index(parts)
        return slice(first * self.width, (first + len(parts)) * self.width)

    def of_heads(self, *parts: str) -> Segments:
        """What stands in a dimension of parts that are split into heads."""
        each = self.width // self.heads
        return [(f"{part} of head {head}", each) for part in parts for head in range(self.heads)]

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


class HSTULayer(EncoderLayer):
    """x + W_o GLN(attention(SiLU(W GLN(x))) * u), arXiv 2505.18654, equations 3 to 6.

    For ablations it has one norm in place of each group's (`groups` = 1), and no gate: then there
    is no u, and W_o GLN(attention) is added.
    """

    def __init__(
        self,
        groups: int,
        width: int,
        heads: int,
        attention_length: int,
        dropout: float,
        gate: bool = True,
    ) -> None:
        super().__init__(width, heads, attention_length)
        self.parts = "uqkv" if gate else "qkv"
        self.norm = GroupLayerNorm(groups, width)
        self.project = nn.Linear(width, len(self.parts) * width)
        self.gate_norm = GroupLayerNorm(groups, width)
        self.output = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def layouts(self) -> Layouts:
        rows, of_heads = self.of_heads(*self.parts), self.of_heads("o")
        return {
            "project.weight": (rows, None),
            "project.bias": (rows,),
            "gate_norm.weight_GD": (self.gate_norm.rows, of_heads),
            "gate_norm.bias_GD": (self.gate_norm.rows, of_heads),
            "output.weight": (None, of_heads),
        }

    def projected(self, n_TD: torch.Tensor, parts: str) -> Several[torch.Tensor]:
        rows, widths = self.rows_of(parts), [self.width] * len(parts)
        return linear_silu(n_TD, self.project.weight[rows], self.project.bias[rows], widths)

    def update(
        self,
        x_TD: torch.Tensor,
        o_TD: torch.Tensor,
        gate: Several[torch.Tensor],
        group_T: torch.Tensor,
    ) -> torch.Tensor:
        if gate:
            (u_TD,) = gate
            normal_TD = self.gate_norm.gated(o_TD, u_TD, group_T)
        else:
            normal_TD = self.gate_norm(o_TD, group_T)
        return x_TD + self.dropout(self.output(normal_TD))
