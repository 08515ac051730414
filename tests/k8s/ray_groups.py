"""A Ray cluster's groups in numbers: how many pods, and what Ray finds in each."""

import math
from fractions import Fraction
from typing import NamedTuple

from .objects import Object
from .quantities import amount

GPU = "nvidia.com/gpu"


class Group(NamedTuple):
    name: str
    pods: int
    cpus: int
    """Of each pod, as the operator tells Ray: the limit, rounded up, unless rayStartParams say."""
    gpus: int
    memory: Fraction
    is_head: bool


def ray_groups(cluster: Object) -> list[Group]:
    """The head first. Worker groups have as many pods as they may have at the least, or with the
    autoscaler at the most."""
    count = "maxReplicas" if cluster.get("enableInTreeAutoscaling") else "minReplicas"
    workers = [
        _group(group, group["groupName"], group.get(count, 1), is_head=False)
        for group in cluster.get("workerGroupSpecs", [])
    ]
    return [_group(cluster["headGroupSpec"], "head", 1, is_head=True), *workers]


def _group(group: Object, name: str, pods: int, *, is_head: bool) -> Group:
    resources = group["template"]["spec"]["containers"][0].get("resources", {})
    known = {**resources.get("requests", {}), **resources.get("limits", {})}
    told = group.get("rayStartParams", {}).get("num-cpus")
    cpus = int(told) if told and told.isdecimal() else math.ceil(amount(known.get("cpu", 0)))
    pods *= group.get("numOfHosts", 1)
    memory = amount(known.get("memory", 0))
    return Group(name, pods, cpus, int(amount(known.get(GPU, 0))), memory, is_head)
