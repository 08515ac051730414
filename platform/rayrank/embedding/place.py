"""Where tables go: TorchRec's planner, told the memory that is there, over all ranks."""

import os

import torch
import torch.distributed as dist
from fbgemm_gpu.split_embedding_configs import EmbOptimType
from torch import nn
from torchrec.distributed.embedding import EmbeddingCollectionSharder
from torchrec.distributed.mc_embedding import ManagedCollisionEmbeddingCollectionSharder
from torchrec.distributed.mc_modules import ManagedCollisionCollectionSharder
from torchrec.distributed.model_parallel import DistributedModelParallel
from torchrec.distributed.planner import EmbeddingShardingPlanner, Topology
from torchrec.distributed.planner.types import ParameterConstraints, PlannerError
from torchrec.distributed.types import ShardingEnv

from rayrank.embedding.budget import held_bytes
from rayrank.embedding.memory import memory_of
from rayrank.embedding.sharded import ShardedTables
from rayrank.errors import ConfigError


def shard(
    model: nn.Module, tables: ShardedTables, *, learning_rate: float, device: torch.device
) -> DistributedModelParallel:
    """Shard the tables in `model` over the default process group. Everything else stays as it is:
    on every rank, its gradients the rank's own. Raises ConfigError where they do not fit into the
    memory of a rank."""
    sharder = ManagedCollisionEmbeddingCollectionSharder(
        EmbeddingCollectionSharder(
            fused_params={
                "optimizer": EmbOptimType.EXACT_ROWWISE_ADAGRAD,
                "learning_rate": learning_rate,
                "eps": 1e-8,
            }
        ),
        ManagedCollisionCollectionSharder(),
    )
    group = dist.group.WORLD
    assert group is not None
    by_row = ParameterConstraints(sharding_types=["row_wise"], compute_kernels=["fused"])
    here = int(os.environ.get("LOCAL_WORLD_SIZE", group.size()))
    memory = memory_of(device, here)
    planner = EmbeddingShardingPlanner(
        topology=Topology(
            world_size=group.size(),
            compute_device=device.type,
            hbm_cap=memory if device.type == "cuda" else 0,
            ddr_cap=memory_of(torch.device("cpu"), here),
        ),
        constraints={f"width_{width.dim}": by_row for width in tables.widths},
    )
    try:
        plan = planner.collective_plan(model, [sharder], group)
    except PlannerError as error:
        held = held_bytes(tables.widths)
        raise ConfigError(
            f"tables: {held / 1e9:,.1f} GB on each rank, beside the model and its batches, do not "
            f"fit into {memory / 1e9:,.1f} GB of its memory ({error.error_type.value}); lower "
            "their capacity or train.tables.budget, or take more workers"
        ) from None
    sharded = DistributedModelParallel(
        model,
        env=ShardingEnv.from_process_group(group),
        device=device,
        plan=plan,
        sharders=[sharder],
        init_data_parallel=False,
    )
    sharded.module.to(device)
    tables.take_over()
    return sharded
