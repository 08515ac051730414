"""Dense parameters over ranks: every rank holds them whole, or its share of each (FSDP2).

What is sharded is a DTensor, and so are its gradient and AdamW's state: nothing else tells the two
apart.
"""

from collections.abc import Iterable, Mapping, Sequence

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor

from rayrank.model.ranker import Ranker
from rayrank.tensors import held_as

BUCKET = 1 << 23
"""Numbers that are sent at once, at least, where there are so many."""


def make_alike(values: Iterable[torch.Tensor]) -> None:
    """Rank 0's, on every rank. Collective."""
    for value in values:
        dist.broadcast(value.detach(), 0)


def shard_dense(ranker: Ranker, device_type: str) -> None:
    """From now on each rank holds its share of every dense parameter: of its first dimension.

    Each of the ranker's blocks is whole while it runs, forward and backward, and its gradients are
    averaged and shared out right after; all that is in no block is whole from the forward pass to
    the end of the backward pass. Tables stay as they are. Collective.
    """
    mesh = init_device_mesh(device_type, (dist.get_world_size(),))
    of_tables = set(ranker.parameters()) - set(ranker.dense_parameters().values())
    for block in ranker.blocks():
        fully_shard(block, mesh=mesh)
    fully_shard(ranker, mesh=mesh, ignored_params=of_tables)
    assert isinstance(ranker, FSDPModule)
    # A rank that has no user may have no gradient of what others have one of.
    ranker.set_reduce_scatter_unused_params(True)


def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """The mean over ranks, a rank that has none counting as zeros. Collective; the order in which
    numbers are added is a function of the parameters' shapes alone. (Not torch's
    DistributedDataParallel: it lays its buckets out anew after a run's first step, so that a run
    that is resumed adds up in another order than one that was never cut.) FSDP has averaged the
    gradients of what is sharded, by the end of each backward pass."""
    bucket: list[torch.Tensor] = []
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        if isinstance(parameter, DTensor):
            continue
        bucket.append(parameter.grad)
        if sum(gradient.numel() for gradient in bucket) >= BUCKET:
            _average(bucket)
            bucket = []
    if bucket:
        _average(bucket)


def gradient_square(parameters: Sequence[nn.Parameter]) -> torch.Tensor:
    """Float64 []: this rank's part of the square of the norm of averaged gradients, which is the
    sum over ranks."""
    square = torch.stack(torch._foreach_norm(own_gradients(parameters))).double().square().sum()
    sharded = any(isinstance(p, DTensor) for p in parameters)
    return square if sharded else square / dist.get_world_size()


@torch.no_grad()
def after_step(ranker: Ranker, parameters: Mapping[str, nn.Parameter]) -> None:
    """The model's hook, where it has one: it sees parameters whole, and what it changes of them is
    kept. Collective. parameters: as this rank holds them, by name."""
    if type(ranker).after_step is Ranker.after_step:
        return
    sharded = [module for module in ranker.modules() if isinstance(module, FSDPModule)]
    for module in sharded:
        module.unshard()
    ranker.after_step()
    if sharded:
        for name, whole in ranker.dense_parameters().items():
            parameters[name].copy_(held_as(whole, parameters[name]))
    for module in sharded:
        module.reshard()


def own_gradients(parameters: Sequence[nn.Parameter]) -> list[torch.Tensor]:
    """What this rank holds of each one's gradient, in place."""
    return [own_part(p.grad) for p in parameters if p.grad is not None]


def own_part(value: torch.Tensor) -> torch.Tensor:
    """What this rank holds of it, in place."""
    return value.to_local() if isinstance(value, DTensor) else value


def _average(gradients: list[torch.Tensor]) -> None:
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    parts = flat.split([gradient.numel() for gradient in gradients])
    torch._foreach_copy_(
        gradients, [part.view_as(of) for part, of in zip(parts, gradients, strict=True)]
    )
