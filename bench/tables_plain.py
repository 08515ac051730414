"""A step of sharded tables beside one of plain TorchRec embeddings, which are told their rows."""

import time
from statistics import median

import torch
import torch.distributed as dist
from fbgemm_gpu.split_embedding_configs import EmbOptimType
from torchrec.distributed.embedding import EmbeddingCollectionSharder
from torchrec.distributed.model_parallel import DistributedModelParallel
from torchrec.distributed.planner import EmbeddingShardingPlanner, Topology
from torchrec.distributed.planner.types import ParameterConstraints
from torchrec.modules.embedding_configs import EmbeddingConfig
from torchrec.modules.embedding_modules import EmbeddingCollection
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from bench.tables_map import everyone, zipf
from bench.tables_step import DIM, Model, Steps, one_rank


def step_over_plain(
    ids: int, steps: int, device: torch.device, backend: str = "gloo"
) -> dict[str, float]:
    """Seconds of a step (look up, learn) of a table of so many ids, all of which are there, over
    those of plain row-wise embeddings with the same optimizer; in turns, on one rank."""
    with one_rank(backend):
        ours, plain = Steps(ids, ids, device).take, _plain(ids, device)
        keys = everyone(ids).sort()
        seconds: dict[str, list[float]] = {"ours": [], "plain": []}
        for asked in zipf(ids, steps):
            rows = keys.indices[torch.searchsorted(keys.values, asked)].to(device)
            for name, step, told in (("ours", ours, asked.to(device)), ("plain", plain, rows)):
                begun = time.perf_counter()
                step(told)
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
                seconds[name].append(time.perf_counter() - begun)
    took = {name: median(each[len(each) // 4 :]) for name, each in seconds.items()}
    return {
        "step_over_plain": took["ours"] / took["plain"],
        "step_ms": 1e3 * took["ours"],
        "plain_step_ms": 1e3 * took["plain"],
    }


def _plain(ids: int, device: torch.device):  # type: ignore[no-untyped-def]
    config = EmbeddingConfig(
        name="item", embedding_dim=DIM, num_embeddings=ids, feature_names=["item"]
    )
    model = Model(EmbeddingCollection(tables=[config], device=torch.device("meta")))
    sharder = EmbeddingCollectionSharder(
        fused_params={"optimizer": EmbOptimType.EXACT_ROWWISE_ADAGRAD, "learning_rate": 0.02}
    )
    by_row = ParameterConstraints(sharding_types=["row_wise"], compute_kernels=["fused"])
    planner = EmbeddingShardingPlanner(
        topology=Topology(world_size=1, compute_device=device.type), constraints={"item": by_row}
    )
    group = dist.group.WORLD
    assert group is not None
    plan = planner.collective_plan(model, [sharder], group)
    sharded = DistributedModelParallel(
        model,
        device=device,
        plan=plan,
        sharders=[sharder],
        init_data_parallel=False,
    )
    sharded.train()

    def step(rows: torch.Tensor) -> None:
        lengths = torch.tensor([len(rows)], device=device)
        found = sharded(KeyedJaggedTensor(keys=["item"], values=rows, lengths=lengths))
        found["item"].values().sum().backward()

    return step


if __name__ == "__main__":
    gpu = torch.cuda.is_available()
    of = torch.device("cuda" if gpu else "cpu")
    for number in (1_000_000, 10_000_000):
        print(number, step_over_plain(number, 40, of, "nccl" if gpu else "gloo"))
