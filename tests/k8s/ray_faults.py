"""What we ask of every Ray cluster: the image's Ray, a token, a head without tasks, settings."""

import importlib.metadata
from collections.abc import Iterator
from functools import cache

from rayrank.serve.keys import FILE_VARIABLE

from .as_run import AUTOSCALER, as_run
from .day_faults import day_faults, submitter_faults
from .objects import Object, cluster_of, of_kind, pods, ray_documents, title
from .operator_faults import groups_of
from .serve_schema import KEYS_FILE
from .serving_faults import serving_faults

# With GCS fault tolerance: for how long workers go on without a head.
WITHOUT_HEAD = {"name": "RAY_gcs_rpc_server_reconnect_timeout_s", "value": "600"}
SETTINGS = [{"configMapRef": {"name": "rayrank-storage"}}]
# For the check of a job, which serves the new bundle; the service's own arguments name its file.
KEY_FILE = {"name": FILE_VARIABLE, "value": KEYS_FILE}
KEYS_AT = {"name": "keys", "mountPath": "/etc/rayrank/keys", "readOnly": True}


def ray_faults(documents: list[Object]) -> list[str]:
    found = [*submitter_faults(documents)]
    for document in ray_documents(documents):
        faults = [*cluster_faults(document), *setting_faults(document)]
        if document["kind"] == "RayService":
            faults += serving_faults(document)
        found += [f"{title(document)}: {fault}" for fault in faults]
    for document in of_kind(documents, "RayCronJob"):
        found += [f"{title(document)}: {fault}" for fault in day_faults(document)]
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
    scales = cluster.get("enableInTreeAutoscaling", False)
    if scales:
        yield from autoscaler_faults(cluster.get("autoscalerOptions", {}))
    elif "autoscalerOptions" in cluster:
        yield "autoscalerOptions without an autoscaler"
    for name, group in groups_of(cluster):
        for option in group.get("rayStartParams", {}):
            if f"--{option}" not in start_options():
                yield f"{name}: ray start has no --{option}"
        least = [group.get(key) for key in ("replicas", "minReplicas")]
        most = group.get("maxReplicas")
        if name != "head" and (len(set(least)) > 1 or not least[0]):
            yield f"{name}: replicas and minReplicas are {least}"
        if name != "head" and not scales and most != least[0]:
            yield f"{name}: replicas {least[0]}, maxReplicas {most}, and no autoscaler"
        # A template of several containers: the operator takes the first one for Ray's.
        containers = [c["name"] for c in group["template"]["spec"]["containers"]]
        if containers != ["ray-head" if name == "head" else "ray-worker"]:
            yield f"{name}: its containers are {containers}"


def autoscaler_faults(options: Object) -> Iterator[str]:
    if options.get("version") != "v2":
        yield "the autoscaler is not v2: it would not see what Ray drains"
    if options.get("idleTimeoutSeconds", 60) < 60:
        yield "idleTimeoutSeconds: a pod is given back before it was of use"
    for key in ("resources", "securityContext"):
        if key not in options:
            yield f"autoscalerOptions: no {key}"
    for key in ("image", "env", "envFrom", "command", "args"):
        if key in options:
            yield f"autoscalerOptions.{key}: the autoscaler is Ray's, of the head's image"


@cache
def start_options() -> set[str]:
    from ray.scripts.scripts import start  # noqa: PLC0415 - slow, and wanted by this alone

    return {option for parameter in start.params for option in parameter.opts}


def setting_faults(document: Object) -> Iterator[str]:
    """Each pod knows where runs are, has the keys for clients as a file, and no other variables."""
    cluster = cluster_of(as_run(document))
    keeps = "gcsFaultToleranceOptions" in cluster
    for name, group in groups_of(cluster):
        (pod,) = pods(group)
        for container in pod.containers:
            if container["name"] == AUTOSCALER:
                continue
            env = container.get("env", [])
            wanted = [] if document["kind"] == "RayService" else [KEY_FILE]
            if env != wanted + ([WITHOUT_HEAD] if keeps and name != "head" else []):
                yield f"{name}: variables are {env}"
            if container.get("envFrom") != SETTINGS:
                yield f"{name}: settings are of {container.get('envFrom')}"
            if KEYS_AT not in container.get("volumeMounts", []):
                yield f"{name}: keys are not at {KEYS_AT['mountPath']}, or may be written"
