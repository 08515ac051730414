"""What we ask of every pod beyond what Kubernetes does: confined, bounded, one image, labelled."""

import tomllib
from collections.abc import Iterator
from functools import cache

from .objects import ROOT, Object, Pod, pods, title

USER = 10001
POD_CONTEXT = {
    "runAsNonRoot": True,
    "runAsUser": USER,
    "runAsGroup": USER,
    "seccompProfile": {"type": "RuntimeDefault"},
}
# With a volume: its files belong to the group, and are not all visited at each start.
VOLUME_CONTEXT = {"fsGroup": USER, "fsGroupChangePolicy": "OnRootMismatch"}
# Exactly this: nothing in it takes back what the pod's context says.
CONTAINER_CONTEXT = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
COMPONENT, PART_OF = "app.kubernetes.io/component", "app.kubernetes.io/part-of"
OBJECT_LABELS = {"app.kubernetes.io/name": "rayrank", PART_OF: "rayrank"}
COMPONENTS = {"RayCluster": "workbench", "RayJob": "training", "RayService": "serving"}


def house_faults(documents: list[Object]) -> list[str]:
    found = []
    for document in documents:
        found += [f"{title(document)}: {fault}" for fault in object_faults(document)]
        labels = document["metadata"].get("labels", {})
        if document["kind"] == "NetworkPolicy":
            found += [f"{title(document)}: {fault}" for fault in policy_faults(document["spec"])]
        for pod in pods(document, title(document)):
            found += [f"{pod.where}: {fault}" for fault in confinement_faults(pod)]
            found += [f"{pod.where}: {fault}" for fault in bound_faults(pod)]
            # No app.kubernetes.io/name: KubeRay's head Service selects its own value of it.
            if pod.labels != {key: labels.get(key) for key in (PART_OF, COMPONENT)}:
                found.append(f"{pod.where}: labels are {pod.labels}")
    return found


def object_faults(document: Object) -> Iterator[str]:
    """README.md applies them by component, the platform first, in a namespace it chooses."""
    metadata = document["metadata"]
    component = COMPONENTS.get(document["kind"], "platform")
    if metadata.get("labels", {}) != {**OBJECT_LABELS, COMPONENT: component}:
        yield f"labels are {metadata.get('labels')}"
    if "namespace" in metadata:
        yield "has a namespace"
    # No pod calls the Kubernetes API.
    if document["kind"] == "ServiceAccount" and document.get("automountServiceAccountToken", True):
        yield "gives pods a token"


def confinement_faults(pod: Pod) -> Iterator[str]:
    wanted = {**POD_CONTEXT, **(VOLUME_CONTEXT if pod.spec.get("volumes") else {})}
    if pod.spec.get("securityContext") != wanted:
        yield f"securityContext is {pod.spec.get('securityContext')}"
    if pod.spec.get("automountServiceAccountToken") is not False:
        yield "gets a token of the Kubernetes API"
    if pod.spec.get("serviceAccountName") != "rayrank":
        yield f"service account is {pod.spec.get('serviceAccountName')}"
    for container in pod.containers:
        if container.get("securityContext") != CONTAINER_CONTEXT:
            yield f"{container['name']}: securityContext is {container.get('securityContext')}"


def bound_faults(pod: Pod) -> Iterator[str]:
    for container in pod.containers:
        resources = container.get("resources", {})
        for bound in ("requests", "limits"):
            if not {"cpu", "memory"} <= resources.get(bound, {}).keys():
                yield f"{container['name']}: no {bound} of both cpu and memory"
        # Never more than the node was asked for: no pod of ours is the first to be evicted.
        if resources.get("requests") != resources.get("limits"):
            yield f"{container['name']}: requests are not the limits"
        if container.get("image") != f"rayrank:{version()}":
            yield f"{container['name']}: image {container.get('image')}, version {version()}"


def policy_faults(spec: Object) -> Iterator[str]:
    """A policy says all that it means: what is left out opens more than one thinks."""
    ways = [way for way in ("ingress", "egress") if way in spec] or ["ingress", "egress"]
    if [kind.lower() for kind in spec.get("policyTypes", [])] != ways:
        yield f"policyTypes are {spec.get('policyTypes')}, rules for {' and '.join(ways)}"
    if spec["podSelector"].get("matchLabels", {}).get(PART_OF) != "rayrank":
        yield "selects other pods than ours, too"
    rules = [*spec.get("ingress", []), *spec.get("egress", [])]
    if not all("port" in port for rule in rules for port in rule.get("ports", [])):
        yield "opens all ports of a protocol"
    for peer in [peer for rule in rules for peer in (*rule.get("from", []), *rule.get("to", []))]:
        if "ipBlock" not in peer and not peer.get("podSelector", {}).get("matchLabels"):
            yield f"opens to all pods of {peer.get('namespaceSelector', 'this namespace')}"


@cache
def version() -> str:
    project = ROOT / "pyproject.toml"
    return str(tomllib.loads(project.read_text())["project"]["version"])
