"""HSTU attention as the formula says it: one dense score matrix per sequence, differentiable.

This is the definition the other bodies are tested against. It is slow on purpose.
"""

from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import silu


def attention_reference(
    q_THD: Tensor,
    k_THD: Tensor,
    v_THD: Tensor,
    offsets: Tensor,
    visible_end: Tensor,
    visible_start: Tensor | None = None,
    *,
    alpha: float,
    scale: float,
) -> Tensor:
    """The same arguments and result as `hstu_attention`, on any device and in any float type."""
    if visible_start is None:
        visible_start = torch.zeros_like(visible_end)
    # An empty sequence in front: a batch of none then still has a result and gradients.
    bounds = [0, *offsets.tolist()]
    outputs = []
    for first, last in pairwise(bounds):
        position = torch.arange(last - first, device=q_THD.device)
        start_N1 = visible_start[first:last, None]
        end_N1 = visible_end[first:last, None]
        mask_NN = (position >= start_N1) & (position < end_N1)
        mask_NN |= position == position[:, None]
        score_HNN = torch.einsum("nhd,mhd->hnm", q_THD[first:last], k_THD[first:last])
        weight_HNN = silu(alpha * score_HNN) * mask_NN
        outputs.append(scale * torch.einsum("hnm,mhd->nhd", weight_HNN, v_THD[first:last]))
    return torch.cat(outputs)
