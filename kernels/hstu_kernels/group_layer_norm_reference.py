"""Group layer norm as the formula says it; the definition the other bodies are tested against."""

import torch
from torch import Tensor


def group_layer_norm_reference(
    x_TD: Tensor, group_T: Tensor, weight_GD: Tensor, bias_GD: Tensor, *, eps: float
) -> Tensor:
    centred_TD = x_TD - x_TD.mean(-1, keepdim=True)
    variance_T1 = centred_TD.square().mean(-1, keepdim=True)
    normal_TD = centred_TD / torch.sqrt(variance_T1 + eps)
    return normal_TD * weight_GD[group_T] + bias_GD[group_T]
