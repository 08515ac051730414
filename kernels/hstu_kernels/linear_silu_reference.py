"""The projection with SiLU as the formula says it; the definition the bodies are tested against."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import silu


def linear_silu_reference(
    x_TK: Tensor, weight_NK: Tensor, bias_N: Tensor, widths: Sequence[int]
) -> tuple[Tensor, ...]:
    return torch.split(silu(x_TK @ weight_NK.T + bias_N), list(widths), dim=1)
