"""What the job and the service want of CPUs, GPUs and memory is what their pods have."""

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from rayrank.infer.engine import CACHE_BYTES

from .job_config import read_job
from .objects import RAY_KINDS, ROOT, Object, cluster_of, of_kind, pods, title
from .quantities import GI, amount
from .ray_groups import Group, ray_groups
from .serve_config import serve_config_of

README = ROOT / "k8s" / "README.md"

# What a process of ours takes before it has data: Python, torch, Ray. And Ray's own on a node.
PROCESS, NODE = GI, GI // 2
# The head's: GCS, dashboard and its agents, job drivers.
HEAD = 2 * GI
# Of rows, checkpoints and bundles of the smallest run.
STORAGE = GI


def sum_faults(documents: list[Object]) -> list[str]:
    found = []
    for document in [d for kind in RAY_KINDS for d in of_kind(documents, kind)]:
        groups = ray_groups(cluster_of(document))
        faults = list(memory_faults(groups))
        if document["kind"] == "RayJob":
            faults += training_faults(document, groups[1:])
        if document["kind"] == "RayService":
            faults += serving_faults(serve_config_of(document), groups[1:])
        found += [f"{title(document)}: {fault}" for fault in faults]
    for claim in of_kind(documents, "PersistentVolumeClaim"):
        if amount(claim["spec"]["resources"]["requests"]["storage"]) < STORAGE:
            found.append(f"{title(claim)}: too small for a run")
    return [*found, *readme_faults(documents)]


def memory_faults(groups: list[Group]) -> Iterator[str]:
    for group in groups:
        least = HEAD if group.is_head else NODE + PROCESS * group.cpus
        if group.memory < least:
            has, wants = (f"{float(m / GI):.2f} GiB" for m in (group.memory, Fraction(least)))
            yield f"{group.name}: {has} of memory; it wants {wants}"


def training_faults(document: Object, workers: list[Group]) -> Iterator[str]:
    """One process per worker, each with a CPU (a GPU) of its own, and each with a pod of its own:
    its threads and its memory are planned so (jobs/cluster.yaml)."""
    job, _ = read_job(document)
    if job is None:
        return
    for name, ranker in job.config.rankers.items():
        wanted = ranker.train.workers
        have = {
            "pods": sum(group.pods for group in workers),
            "CPUs": sum(group.pods * group.cpus for group in workers),
        }
        if ranker.train.use_gpu:
            have["GPUs"] = sum(group.pods * group.gpus for group in workers)
        for what, number in have.items():
            if number < wanted:
                yield f"{name}: {wanted} training workers, {number} {what}"


def serving_faults(config: Any, workers: list[Group]) -> Iterator[str]:
    for application in config["applications"]:
        cache = application.get("args", {}).get("cache_bytes", CACHE_BYTES)
        for deployment in application.get("deployments", []):
            yield from deployment_faults(deployment, cache, workers)


def deployment_faults(deployment: Object, cache: int, workers: list[Group]) -> Iterator[str]:
    name, options = deployment["name"], deployment.get("ray_actor_options", {})
    cpus, gpus = Fraction(options.get("num_cpus", 1)), Fraction(options.get("num_gpus", 0))
    scaling = deployment.get("autoscaling_config", {})
    replicas = scaling.get("max_replicas", deployment.get("num_replicas", 1))
    surge = math.ceil(replicas * Fraction(deployment.get("max_surge_percent", 0), 100))
    places = [_places(group, cpus, gpus) for group in workers]
    if not any(places):
        yield f"{name}: a replica wants {cpus} CPUs and {gpus} GPUs, which no pod has"
        return
    room = sum(place * group.pods for place, group in zip(places, workers, strict=True))
    if room < replicas + surge:
        yield f"{name}: {replicas} replicas and {surge} that take over; there is room for {room}"
    per_node = deployment.get("max_replicas_per_node", replicas)
    if sum(group.pods for group in workers) * per_node < replicas:
        yield f"{name}: {replicas} replicas, at most {per_node} on each node"
    for place, group in zip(places, workers, strict=True):
        wanted = NODE + place * (PROCESS + cache)
        if place and group.memory < wanted:
            yield f"{group.name}: {place} replicas want {wanted / GI:g} GiB of memory"


def _places(group: Group, cpus: Fraction, gpus: Fraction) -> int:
    """How many replicas a pod has room for."""
    bounds = [group.cpus // cpus] if cpus else []
    bounds += [group.gpus // gpus] if gpus else []
    return min(bounds, default=0)


def readme_faults(documents: list[Object]) -> Iterator[str]:
    """README.md's table tells what each object needs."""
    text = README.read_text()
    for kind in RAY_KINDS:
        for document in of_kind(documents, kind):
            cpus, memory = needs(document)
            name = document["metadata"]["name"]
            row = [line for line in text.splitlines() if f"| {kind} `{name}` |" in line]
            said = f"{float(cpus):g} CPUs, {float(memory / GI):g} GiB |"
            if len(row) != 1 or not row[0].endswith(f"| {said}"):
                yield f"{title(document)}: needs {said[:-2]}; README.md says otherwise"


def needs(document: Object) -> tuple[Fraction, Fraction]:
    """CPUs and memory that all its pods request."""
    cluster = cluster_of(document)
    templates = [cluster["headGroupSpec"], *cluster.get("workerGroupSpecs", [])]
    counts = [group.pods for group in ray_groups(cluster)]
    templates.append(document["spec"].get("submitterPodTemplate", {}))
    counted = [
        (pod, count)
        for template, count in zip(templates, [*counts, 1], strict=True)
        for pod in pods(template)
    ]
    cpus, memory = (
        sum(
            (
                count * amount(container.get("resources", {}).get("requests", {}).get(name, 0))
                for pod, count in counted
                for container in pod.containers
            ),
            Fraction(0),
        )
        for name in ("cpu", "memory")
    )
    return cpus, memory
