"""What the service's replicas want of CPUs, GPUs and memory is what its pods have, also while they
are exchanged."""

import math
from collections.abc import Iterator
from fractions import Fraction

from rayrank.infer.engine import CACHE_BYTES

from .objects import Object
from .quantities import GI
from .ray_groups import Group
from .serve_config import serve_config_of

# What a process of ours takes before it has data: Python, torch, Ray. And Ray's own on a node.
PROCESS, NODE = GI, GI // 2


def serving_faults(document: Object, workers: list[Group]) -> Iterator[str]:
    for application in serve_config_of(document)["applications"]:
        cache = application.get("args", {}).get("cache_bytes", CACHE_BYTES)
        for deployment in application.get("deployments", []):
            yield from deployment_faults(deployment, cache, workers)


def deployment_faults(deployment: Object, cache: int, workers: list[Group]) -> Iterator[str]:
    name, options = deployment["name"], deployment.get("ray_actor_options", {})
    cpus, gpus = Fraction(options.get("num_cpus", 1)), Fraction(options.get("num_gpus", 0))
    scaling = deployment.get("autoscaling_config", {})
    replicas = scaling.get("max_replicas", deployment.get("num_replicas", 1))
    surge = math.ceil(replicas * Fraction(deployment.get("max_surge_percent", 0)) / 100)
    places = [_places(group, cpus, gpus) for group in workers]
    if not any(places):
        yield f"{name}: a replica wants {cpus} CPUs and {gpus} GPUs, which no pod has"
        return
    per_node = deployment.get("max_replicas_per_node") or replicas + surge
    usable = [min(place, per_node) for place in places]
    room = sum(place * group.pods for place, group in zip(usable, workers, strict=True))
    if room < replicas + surge:
        yield f"{name}: {replicas} replicas and {surge} that take over; there is room for {room}"
    steady = sum(place * group.least for place, group in zip(usable, workers, strict=True))
    if steady < replicas:
        yield f"{name}: {replicas} replicas wait for the autoscaler: there is room for {steady}"
    for place, group in zip(usable, workers, strict=True):
        wanted = NODE + place * (PROCESS + cache)
        if place and group.memory < wanted:
            yield f"{group.name}: {place} replicas want {wanted / GI:g} GiB of memory"
        if group.gpus != place * gpus:
            yield f"{group.name}: {group.gpus} GPUs, of which replicas use {place * gpus}"


def _places(group: Group, cpus: Fraction, gpus: Fraction) -> int:
    """How many replicas a pod has room for."""
    bounds = [group.cpus // cpus] if cpus else []
    bounds += [group.gpus // gpus] if gpus else []
    return min(bounds, default=0)
