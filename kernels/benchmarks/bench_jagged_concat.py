"""Putting four groups of tokens together, user by user, on CPUs, beside a concat and an index."""

import torch

from benchmarks.cpu_measure import best_seconds, over
from hstu_kernels import jagged_concat

USERS, WIDTH = 32, 256
# Tokens per user at most: profile, history, realtime, candidates.
LONGEST = (8, 512, 32, 128)


def measure() -> dict[str, float]:
    lengths = [torch.randint(longest + 1, (USERS,)) for longest in LONGEST]
    offsets = [torch.cat([torch.zeros(1).long(), each.cumsum(0)]) for each in lengths]
    parts = [torch.randn(int(each.sum()), WIDTH, requires_grad=True) for each in lengths]
    # The row of each token in the plain concatenation; made once, and not timed.
    rows = torch.arange(sum(map(len, parts)))[:, None].split([len(part) for part in parts])
    row = jagged_concat(rows, offsets).view(-1)
    ways = {
        "operator": lambda: jagged_concat(parts, offsets),
        "plain": lambda: torch.cat(parts)[row],
    }
    assert torch.equal(ways["operator"](), ways["plain"]())
    seconds = best_seconds(ways, parts, [torch.randn(len(row), WIDTH)])
    return over(seconds, "operator")
