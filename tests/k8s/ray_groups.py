"""A Ray cluster's groups in numbers: how many pods, and what Ray finds in each."""

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from .as_run import as_run, run_pods
from .objects import CLUSTER_PATH, Object, Pod, cluster_of, job_of, pods, ray_documents
from .quantities import amount

GPU = "nvidia.com/gpu"
RESOURCES = ("cpu", "memory", GPU)


class Group(NamedTuple):
    name: str
    least: int
    pods: int
    """At the most, with the autoscaler."""
    cpus: int
    """Of each pod, as the operator tells Ray: the limit, rounded up, unless rayStartParams say."""
    gpus: int
    memory: Fraction
    shared_memory: Fraction | None
    """Of /dev/shm, where the pod says so itself; KubeRay's own is as large as the memory."""
    is_head: bool


def ray_groups(cluster: Object) -> list[Group]:
    """The head first."""
    workers = [
        _group(group, group["groupName"], is_head=False)
        for group in cluster.get("workerGroupSpecs", [])
    ]
    return [_group(cluster["headGroupSpec"], "head", is_head=True), *workers]


def counts(group: Object) -> tuple[int, int]:
    hosts = group.get("numOfHosts", 1)
    least = group.get("minReplicas", 1)
    return hosts * least, hosts * group.get("maxReplicas", least)


def _group(group: Object, name: str, *, is_head: bool) -> Group:
    (pod,) = pods(group)
    container = pod.spec["containers"][0]
    resources = container.get("resources", {})
    known = {**resources.get("requests", {}), **resources.get("limits", {})}
    told = group.get("rayStartParams", {}).get("num-cpus")
    cpus = int(told) if told and told.isdecimal() else math.ceil(amount(known.get("cpu", 0)))
    memory, gpus = amount(known.get("memory", 0)), int(amount(known.get(GPU, 0)))
    shm = [m["name"] for m in container.get("volumeMounts", []) if m["mountPath"] == "/dev/shm"]
    limits = [
        amount(pod.volumes[v].get("emptyDir", {}).get("sizeLimit", known.get("memory", 0)))
        for v in shm
    ]
    return Group(name, *counts(group), cpus, gpus, memory, limits[0] if limits else None, is_head)


def needs(document: Object) -> dict[str, Fraction]:
    """CPUs, memory and GPUs that all its pods request, as many as there may be."""
    total = dict.fromkeys(RESOURCES, Fraction(0))
    for pod, number in counted(document):
        for container in pod.containers:
            requests = container.get("resources", {}).get("requests", {})
            for name in RESOURCES:
                total[name] += number * amount(requests.get(name, 0))
    return total


def counted(document: Object) -> Iterator[tuple[Pod, int]]:
    """Its pods, and how many there may be of each."""
    if document["kind"] not in CLUSTER_PATH:
        replicas = document.get("spec", {}).get("replicas", 1)
        yield from ((pod, replicas) for pod in run_pods(document))
        return
    cluster = cluster_of(as_run(document))
    for group in (cluster["headGroupSpec"], *cluster.get("workerGroupSpecs", [])):
        yield from ((pod, counts(group)[1]) for pod in pods(group))
    if document["kind"] in ("RayJob", "RayCronJob"):
        yield from ((pod, 1) for pod in pods(job_of(document).get("submitterPodTemplate", {})))


def wants_gpus(pod: Pod) -> bool:
    return any(GPU in c.get("resources", {}).get("limits", {}) for c in pod.containers)


def is_on_gpus(documents: list[Object]) -> bool:
    """Which overlay it is: one has GPUs, the other none."""
    return any(wants_gpus(pod) for document in ray_documents(documents) for pod in pods(document))
