"""The gated group layer norm on CPUs beside PyTorch's own operations, forward and backward."""

import torch
from torch.nn.functional import layer_norm

from benchmarks.cpu_measure import best_seconds, over
from hstu_kernels import gated_group_layer_norm
from hstu_kernels.testing import assert_close

TOKENS, WIDTH, GROUPS = 8192, 256, 4
EPS = 1e-6


def measure() -> dict[str, float]:
    o, u = (torch.randn(TOKENS, WIDTH, requires_grad=True) for _ in range(2))
    weight, bias = (torch.randn(GROUPS, WIDTH, requires_grad=True) for _ in range(2))
    group = torch.randint(GROUPS, (TOKENS,))
    ways = {
        "operator": lambda: gated_group_layer_norm(o, u, group, weight, bias, eps=EPS),
        "plain": lambda: layer_norm(o * u, (WIDTH,), eps=EPS) * weight[group] + bias[group],
    }
    with torch.no_grad():
        assert_close(ways["operator"](), ways["plain"](), 1e-5)
    seconds = best_seconds(ways, (o, u, weight, bias), [torch.randn_like(o)])
    return over(seconds, "operator")
