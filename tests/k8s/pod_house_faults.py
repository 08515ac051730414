"""What we ask of every pod as it runs: confined, bounded, of our image, at a place of its kind."""

import re
from collections.abc import Iterator

from .as_run import AUTOSCALER
from .labels import COMPONENT
from .objects import Object, Pod
from .quantities import amount
from .ray_groups import GPU, wants_gpus
from .version import version

USER, REDIS_USER = 10001, 999
# Exactly this: nothing in it takes back what the pod's context says.
CONTAINER_CONTEXT = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
REDIS = "redis:7.2.5-bookworm"
TOKEN_AT = "/var/run/secrets/kubernetes.io/serviceaccount"
SUBMITTER = {"account": "rayrank-submitter", "token": True}
FIRST, LATER = "rayrank-serving", "rayrank-training"
# Of machines with GPUs, as NVIDIA's operator labels them and providers taint them.
ON_GPUS = {"nvidia.com/gpu.present": "true"}
TOLERATES = [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}]
_SECRET = re.compile(r"KEY|TOKEN|PASSWORD|SECRET|CREDENTIAL", re.IGNORECASE)
_NAMES_A_FILE = re.compile(r".*_(FILE|PATH)")


def pod_house_faults(pod: Pod, on_gpus: bool) -> Iterator[str]:
    yield from confinement_faults(pod)
    yield from token_faults(pod)
    yield from disk_faults(pod)
    yield from secret_faults(pod)
    yield from place_faults(pod)
    for container in pod.containers:
        name = container["name"]
        yield from (f"{name}: {fault}" for fault in bound_faults(container))
        wanted = image_of(pod, on_gpus)
        if container.get("image") != wanted:
            yield f"{name}: image {container.get('image')}, not {wanted}"


def confinement_faults(pod: Pod) -> Iterator[str]:
    user = REDIS_USER if pod.labels.get(COMPONENT) == "redis" else USER
    wanted = {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": user,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    if pod.volumes:
        # Its volumes' files belong to the group, and are not all visited at each start.
        wanted |= {"fsGroup": user, "fsGroupChangePolicy": "OnRootMismatch"}
    if pod.spec.get("securityContext") != wanted:
        yield f"securityContext is {pod.spec.get('securityContext')}"
    for container in pod.containers:
        if container.get("securityContext") != CONTAINER_CONTEXT:
            yield f"{container['name']}: securityContext is {container.get('securityContext')}"


def account_of(pod: Pod) -> tuple[str, bool]:
    """The pod's account, and whether each of its containers gets its token."""
    if pod.labels.get(COMPONENT) == "schedule":
        return "rayrank-submitter", True
    if any(container["name"] == AUTOSCALER for container in pod.containers):
        return "rayrank-autoscaler", False
    return "rayrank", False


def token_faults(pod: Pod) -> Iterator[str]:
    """Code that runs in a job or answers users cannot act on the cluster."""
    account, token = account_of(pod)
    if pod.spec.get("serviceAccountName") != account:
        yield f"service account is {pod.spec.get('serviceAccountName')}, not {account}"
    if pod.spec.get("automountServiceAccountToken") is not token:
        yield "gets a token of the Kubernetes API" if not token else "gets no token"
    volumes = {name for name, volume in pod.volumes.items() if _has_token(volume)}
    for container in pod.containers:
        mounted = [m for m in container.get("volumeMounts", []) if m["name"] in volumes]
        wanted = container["name"] == AUTOSCALER
        if wanted and [(m["mountPath"], m.get("readOnly")) for m in mounted] != [(TOKEN_AT, True)]:
            yield f"{container['name']}: has no token at {TOKEN_AT}, or may write there"
        if mounted and not wanted:
            yield f"{container['name']}: mounts a token of the Kubernetes API"
    for name in volumes:
        sources = pod.volumes[name]["projected"]["sources"]
        if _files(sources) != {"token", "ca.crt", "namespace"}:
            yield f"volume {name!r}: a client wants token, ca.crt and namespace in it"


def _has_token(volume: Object) -> bool:
    sources = volume.get("projected", {}).get("sources", [])
    return any("serviceAccountToken" in source for source in sources)


def _files(sources: list[Object]) -> set[str]:
    found = set()
    for source in sources:
        for what in source.values():
            found |= (
                {what["path"]} if "path" in what else {i["path"] for i in what.get("items", [])}
            )
    return found


def disk_faults(pod: Pod) -> Iterator[str]:
    """The root cannot be written to: Ray has /tmp, of which the node knows its bound."""
    for name, volume in pod.volumes.items():
        if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
            yield f"volume {name!r}: no sizeLimit"
        if "hostPath" in volume:
            yield f"volume {name!r}: is the node's"
    for container in pod.containers:
        if not _needs_tmp(pod):
            continue
        at = [m for m in container.get("volumeMounts", []) if m["mountPath"] == "/tmp"]
        if not at or at[0].get("readOnly") or "emptyDir" not in pod.volumes[at[0]["name"]]:
            yield f"{container['name']}: /tmp cannot be written to"
        for mount in container.get("volumeMounts", []):
            volume, path = pod.volumes[mount["name"]], mount["mountPath"]
            if "emptyDir" not in volume:
                continue
            is_memory = volume["emptyDir"].get("medium") == "Memory"
            if path not in ("/tmp", "/dev/shm"):
                yield f"{container['name']}: nobody writes to {path}"
            elif is_memory is not (path == "/dev/shm"):
                yield f"{container['name']}: {path} is {'' if is_memory else 'not '}memory"


def _needs_tmp(pod: Pod) -> bool:
    return pod.labels.get(COMPONENT) not in ("schedule", "redis")


def secret_faults(pod: Pod) -> Iterator[str]:
    """The environment is seen by every child, and in many a log: secrets are files."""
    for container in pod.containers:
        for variable in container.get("env", []):
            name, source = variable["name"], variable.get("valueFrom", {})
            if "secretKeyRef" in source:
                yield f"{container['name']}: {name} is a secret in the environment"
            elif is_secret(name):
                yield f"{container['name']}: {name} looks like a secret in the environment"
        if any("secretRef" in source for source in container.get("envFrom", [])):
            yield f"{container['name']}: a secret in the environment"


def is_secret(name: str) -> bool:
    return bool(_SECRET.search(name)) and not _NAMES_A_FILE.fullmatch(name)


def place_faults(pod: Pod) -> Iterator[str]:
    """Who goes last; and that GPUs are for whom they are needed by."""
    first = pod.labels.get(COMPONENT) in ("serving", "redis")
    if pod.spec.get("priorityClassName") != (FIRST if first else LATER):
        yield f"priority is {pod.spec.get('priorityClassName')}"
    here, tolerated = pod.spec.get("nodeSelector", {}), pod.spec.get("tolerations", [])
    if wants_gpus(pod):
        if here != ON_GPUS:
            yield f"nodeSelector is {here}, on GPUs {ON_GPUS}"
        if tolerated != TOLERATES:
            yield f"tolerations are {tolerated}, on GPUs {TOLERATES}"
    elif here or tolerated:
        yield "has no GPU, and may stand in the way on a machine that has"


def bound_faults(container: Object) -> Iterator[str]:
    resources = container.get("resources", {})
    for bound in ("requests", "limits"):
        if not {"cpu", "memory"} <= resources.get(bound, {}).keys():
            yield f"no {bound} of both cpu and memory"
    # Never more than the node was asked for: no pod of ours is the first to be evicted.
    if resources.get("requests") != resources.get("limits"):
        yield "requests are not the limits"
    for name, much in resources.get("limits", {}).items():
        if not amount(much):
            yield f"none of {name}"


def image_of(pod: Pod, on_gpus: bool) -> str:
    if pod.labels.get(COMPONENT) == "redis":
        return REDIS
    name = "rayrank-serving" if pod.labels.get(COMPONENT) == "serving" else "rayrank"
    return f"{name}:{version()}-{'gpu' if on_gpus else 'cpu'}"
