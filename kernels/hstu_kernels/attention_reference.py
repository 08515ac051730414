"""HSTU attention as the formula says it: one dense score matrix per sequence, differentiable.

This is the definition the other bodies are tested against. It is slow on purpose.
"""

from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import silu


def attention_reference(
    q_QHD: Tensor,
    k_THD: Tensor,
    v_THD: Tensor,
    offsets: Tensor,
    visible_end: Tensor,
    visible_start: Tensor | None = None,
    *,
    query_offsets: Tensor | None = None,
    alpha: float,
    scale: float,
) -> Tensor:
    """The same arguments and result as `hstu_attention`, on any device and in any float type."""
    if visible_start is None:
        visible_start = torch.zeros_like(visible_end)
    if query_offsets is None:
        query_offsets = offsets
    outputs = []
    for (first, last), (first_q, last_q) in zip(
        pairwise(offsets.tolist()), pairwise(query_offsets.tolist()), strict=True
    ):
        place_M = torch.arange(last - first, device=q_QHD.device)
        own_N1 = place_M[len(place_M) - (last_q - first_q) :, None]
        start_N1 = visible_start[first_q:last_q, None]
        end_N1 = visible_end[first_q:last_q, None]
        mask_NM = (place_M >= start_N1) & (place_M < end_N1)
        mask_NM |= place_M == own_N1
        score_HNM = torch.einsum("nhd,mhd->hnm", q_QHD[first_q:last_q], k_THD[first:last])
        weight_HNM = silu(alpha * score_HNM) * mask_NM
        outputs.append(scale * torch.einsum("hnm,mhd->nhd", weight_HNM, v_THD[first:last]))
    # Rows behind the last sequence: none of theirs is anything, and they have gradients, of zero.
    behind_k, behind_q = int(offsets[-1]), int(query_offsets[-1])
    nothing = 0.0 * (q_QHD[behind_q:].sum() + k_THD[behind_k:].sum() + v_THD[behind_k:].sum())
    rest = q_QHD.new_zeros(len(q_QHD) - behind_q, *v_THD.shape[1:])
    return torch.cat([*outputs, rest + nothing])
