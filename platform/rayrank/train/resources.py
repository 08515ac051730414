"""What training asks of the cluster, said before it waits for it."""

import ray

from rayrank.train.config import TrainConfig


def lacking(config: TrainConfig) -> str | None:
    """What the workers want and what there is, where they cannot start now; None where they can."""
    wanted = {"GPU" if config.use_gpu else "CPU": config.workers}
    total, free = ray.cluster_resources(), ray.available_resources()
    short = [kind for kind, number in wanted.items() if free.get(kind, 0) < number]
    if not short:
        return None
    return "; ".join(
        f"{config.workers} workers want {wanted[kind]} {kind}s, the cluster has "
        f"{total.get(kind, 0):g}, {free.get(kind, 0):g} of them free"
        for kind in short
    )


def beyond_reach(config: TrainConfig) -> bool:
    """Whether the cluster as it stands can never run the workers, whatever else ends."""
    kind = "GPU" if config.use_gpu else "CPU"
    return bool(ray.cluster_resources().get(kind, 0) < config.workers)
