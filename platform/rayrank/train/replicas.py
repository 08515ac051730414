"""Dense parameters that every rank holds whole: the same at the start, and after every step.

Not torch's DistributedDataParallel: it lays its buckets out anew after a run's first step, so that
a run that is resumed adds up in another order than one that was never cut.
"""

from collections.abc import Iterable, Sequence

import torch
import torch.distributed as dist
from torch import nn

BUCKET = 1 << 23
"""Numbers that are sent at once, at least, where there are so many."""


def make_alike(values: Iterable[torch.Tensor]) -> None:
    """Rank 0's, on every rank. Collective."""
    for value in values:
        dist.broadcast(value.detach(), 0)


def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """The mean over ranks, a rank that has none counting as zeros. Collective; the order in which
    numbers are added is a function of the parameters' shapes alone."""
    bucket: list[torch.Tensor] = []
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        bucket.append(parameter.grad)
        if sum(gradient.numel() for gradient in bucket) >= BUCKET:
            _average(bucket)
            bucket = []
    if bucket:
        _average(bucket)


def _average(gradients: list[torch.Tensor]) -> None:
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    parts = flat.split([gradient.numel() for gradient in gradients])
    torch._foreach_copy_(
        gradients, [part.view_as(of) for part, of in zip(parts, gradients, strict=True)]
    )
