"""What we ask of every Ray cluster: the image's Ray, a token, a head without tasks, draining."""

import importlib.metadata
from collections.abc import Iterator
from functools import cache

from .objects import RAY_KINDS, Object, cluster_of, of_kind, pods, ray_pods, title
from .operator_faults import groups_of

API_KEY = {
    "name": "RAYRANK_API_KEY",
    "valueFrom": {"secretKeyRef": {"name": "rayrank-api-key", "key": "api-key"}},
}
# The job serves the new bundle to compare its scores; work by hand needs no key.
WITH_KEY = ("RayJob", "RayService")
# What Ray has left for stopping, after preStop.
STOPS_IN_S = 30


def ray_faults(documents: list[Object]) -> list[str]:
    found = []
    for kind in RAY_KINDS:
        for document in of_kind(documents, kind):
            faults = [*cluster_faults(document), *key_faults(document)]
            if kind == "RayService":
                faults += service_faults(document)
            if kind == "RayJob":
                faults += job_faults(document["spec"])
            found += [f"{title(document)}: {fault}" for fault in faults]
    return found


def cluster_faults(document: Object) -> Iterator[str]:
    cluster = cluster_of(document)
    installed = importlib.metadata.version("ray")
    if cluster.get("rayVersion") != installed:
        yield f"rayVersion {cluster.get('rayVersion')}, installed {installed}"
    if cluster.get("authOptions") != {"mode": "token"}:
        yield f"authOptions are {cluster.get('authOptions')}"
    if cluster["headGroupSpec"].get("rayStartParams", {}).get("num-cpus") != "0":
        yield "tasks may run on the head"
    if not cluster.get("workerGroupSpecs"):
        yield "no workers"
    for name, group in groups_of(cluster):
        for option in group.get("rayStartParams", {}):
            if f"--{option}" not in start_options():
                yield f"{name}: ray start has no --{option}"
        counts = [group.get(key) for key in ("replicas", "minReplicas", "maxReplicas")]
        if name != "head" and (len(set(counts)) > 1 or not counts[0]):
            yield f"{name}: replicas, minReplicas and maxReplicas are {counts}"
        # A template of several containers: the operator takes the first one for Ray's.
        first = group["template"]["spec"]["containers"][0]["name"]
        if first != ("ray-head" if name == "head" else "ray-worker"):
            yield f"{name}: the first container is {first!r}"


@cache
def start_options() -> set[str]:
    from ray.scripts.scripts import start  # noqa: PLC0415 - slow, and wanted by this alone

    return {option for parameter in start.params for option in parameter.opts}


def key_faults(document: Object) -> Iterator[str]:
    wanted = [API_KEY] if document["kind"] in WITH_KEY else []
    for pod in ray_pods(document):
        for container in pod.containers:
            if container.get("env", []) != wanted:
                yield f"{pod.where}: variables are {container.get('env')}"


def service_faults(document: Object) -> Iterator[str]:
    spec = document["spec"]
    if not spec.get("excludeHeadPodFromServeSvc"):
        yield "traffic depends on the head"
    if spec.get("upgradeStrategy", {}).get("type", "None") == "None":
        yield "a changed cluster never takes over"
    for group in spec["rayClusterConfig"].get("workerGroupSpecs", []):
        (pod,) = pods(group)
        for container in pod.containers:
            stop = container.get("lifecycle", {}).get("preStop", {}).get("exec", {})
            match stop.get("command"):
                case ["sleep", seconds] if seconds.isdecimal():
                    left = pod.spec.get("terminationGracePeriodSeconds", 30) - int(seconds)
                    if left < STOPS_IN_S:
                        yield f"{container['name']}: {left} s are left to stop in"
                case command:
                    yield f"{container['name']}: preStop is {command}"


def job_faults(spec: Object) -> Iterator[str]:
    """A job that hangs or is done gives its machines back; one that failed waits for a person."""
    if not spec.get("activeDeadlineSeconds"):
        yield "no activeDeadlineSeconds"
    if not spec.get("shutdownAfterJobFinishes"):
        yield "its machines are kept when it has finished"
    if not spec.get("ttlSecondsAfterFinished"):
        yield "no time to read its logs in"
    if spec.get("metadata", {}).keys() != {"job_name"}:
        yield f"metadata is {spec.get('metadata')}, not the job_name of the dashboard"
    if "--new" not in spec.get("entrypoint", "").split():
        yield "refuses a log that has grown (--new)"
    submitters = pods(spec.get("submitterPodTemplate", {}))
    if [c["name"] for pod in submitters for c in pod.containers] != ["ray-job-submitter"]:
        # Without a template of ours the operator has its own, without limits and labels.
        yield "there must be a submitter, of one container that is ray-job-submitter"
