"""The projection with SiLU on CPUs: torch's product, then one pass per part.

In half precision the product is torch's own, summed in float32 and rounded to the dtype before
SiLU; on GPUs SiLU comes before any rounding.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

silu = torch.ops.aten.silu
silu_backward = torch.ops.aten.silu_backward


def linear_silu_forward(
    x_TK: Tensor, weight_NK: Tensor, bias_N: Tensor, widths: Sequence[int], keep: bool
) -> tuple[list[Tensor], Tensor]:
    """The parts, and the product before SiLU: [T, N] if it is to be kept, else [0, N]."""
    z_TN = torch.addmm(bias_N, x_TK, weight_NK.T)
    parts = [z_TN.new_empty(z_TN.shape[0], width) for width in widths]
    for part_TW, z_TW in zip(parts, z_TN.split(list(widths), dim=1), strict=True):
        silu.out(z_TW, out=part_TW)
    return parts, z_TN if keep else z_TN.new_empty(0, z_TN.shape[1])


def silu_backward_of_parts(dparts: Sequence[Tensor], z_TN: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of z and of the bias, in z's dtype."""
    dz_TN = torch.empty_like(z_TN)
    widths = [dpart_TW.shape[1] for dpart_TW in dparts]
    slices = zip(dparts, z_TN.split(widths, dim=1), dz_TN.split(widths, dim=1), strict=True)
    for dpart_TW, z_TW, dz_TW in slices:
        silu_backward.grad_input(dpart_TW, z_TW, grad_input=dz_TW)
    return dz_TN, dz_TN.sum(0)
