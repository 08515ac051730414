"""What training asks of the cluster, said rather than waited for without a word."""

import ray
from ray.util import placement_group_table

from rayrank.train.config import TrainConfig


def threads(config: TrainConfig) -> int:
    """Of each worker, for what it computes on CPUs."""
    shared_out = int(ray.cluster_resources().get("CPU", 1)) // config.workers
    return config.threads or max(1, shared_out)


def wanted(config: TrainConfig) -> str:
    """What the workers want of the cluster, and what there is."""
    kind = _kind(config)
    total, free = ray.cluster_resources(), ray.available_resources()
    return (
        f"{config.workers} workers want {config.workers} {kind}s, the cluster has "
        f"{total.get(kind, 0):g}, {free.get(kind, 0):g} of them free"
    )


def beyond_reach(config: TrainConfig) -> bool:
    """Whether the cluster as it stands can never run the workers, whatever else ends."""
    return bool(ray.cluster_resources().get(_kind(config), 0) < config.workers)


def reading_lacks(config: TrainConfig) -> str | None:
    """What the tasks that read rows would wait for, once the workers stand."""
    left = ray.cluster_resources().get("CPU", 0) - (0 if config.use_gpu else config.workers)
    if config.read_by == "workers" or left >= 1:
        return None
    return (
        "train.read_by is cluster, and beside its workers the cluster has no CPU that could read: "
        "training waits until it has one"
    )


def waited_for(config: TrainConfig) -> str | None:
    """What the workers wait for, while Ray has no place for them all; None where it has, or has
    not been asked yet."""
    pending = any(
        group["state"] == "PENDING" and len(group["bundles"]) >= config.workers
        for group in placement_group_table().values()
    )
    return wanted(config) if pending else None


def _kind(config: TrainConfig) -> str:
    return "GPU" if config.use_gpu else "CPU"
