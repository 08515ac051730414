"""The joint projection on CPUs beside PyTorch's own operations, forward and backward."""

import torch
from torch.nn.functional import linear, silu

from benchmarks.cpu_measure import best_seconds, over
from hstu_kernels import linear_silu
from hstu_kernels.testing import assert_close

TOKENS, WIDTH, PARTS = 8192, 256, 4


def measure() -> dict[str, float]:
    widths = [WIDTH] * PARTS
    x = torch.randn(TOKENS, WIDTH, requires_grad=True)
    weight = (torch.randn(sum(widths), WIDTH) * WIDTH**-0.5).requires_grad_()
    bias = torch.randn(sum(widths), requires_grad=True)
    ways = {
        "operator": lambda: linear_silu(x, weight, bias, widths),
        "plain": lambda: silu(linear(x, weight, bias)).split(widths, dim=1),
    }
    with torch.no_grad():
        assert_close(torch.cat(ways["operator"](), 1), torch.cat(ways["plain"](), 1), 1e-5)
    grads = [torch.randn(TOKENS, width) for width in widths]
    return over(best_seconds(ways, (x, weight, bias), grads), "operator")
