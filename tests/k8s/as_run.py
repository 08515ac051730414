"""Manifests as their pods run: with what the operator and Kubernetes put into the templates."""

import copy
from typing import Any

from .objects import CLUSTER_PATH, Object, Pod, cluster_of, pods, title

AUTOSCALER = "autoscaler"
# KubeRay's, where autoscalerOptions say nothing.
_BOUND = {"cpu": "500m", "memory": "512Mi"}
_OPTIONS = ("env", "envFrom", "volumeMounts", "securityContext", "command", "args")


def as_run(document: Object) -> Object:
    if document["kind"] in CLUSTER_PATH:
        return _with_autoscaler(document)
    if document["kind"] == "StatefulSet":
        return _with_claims(document)
    return document


def run_pods(document: Object) -> list[Pod]:
    return list(pods(as_run(document), title(document)))


def _with_autoscaler(document: Object) -> Object:
    if not _scales(document):
        return document
    changed = copy.deepcopy(document)
    cluster = cluster_of(changed)
    containers = cluster["headGroupSpec"]["template"]["spec"]["containers"]
    options = cluster.get("autoscalerOptions", {})
    containers.append(
        {
            "name": AUTOSCALER,
            "image": options.get("image", containers[0].get("image")),
            "resources": options.get("resources", {"requests": _BOUND, "limits": _BOUND}),
            **{key: options[key] for key in _OPTIONS if key in options},
        }
    )
    return changed


def _scales(document: Object) -> bool:
    """A head without a container, which is refused, gets no second one."""
    try:
        cluster = cluster_of(document)
        containers = cluster["headGroupSpec"]["template"]["spec"]["containers"]
    except KeyError:
        return False
    return bool(cluster.get("enableInTreeAutoscaling") and containers)


def _with_claims(document: Object) -> Object:
    """A StatefulSet's pods each mount a claim of their own."""
    changed = copy.deepcopy(document)
    spec: Any = changed["spec"]
    spec["template"]["spec"].setdefault("volumes", []).extend(
        {"name": name, "persistentVolumeClaim": {"claimName": name}}
        for name in sorted(own_claims(document))
    )
    return changed


def own_claims(document: Object) -> set[str]:
    """Claims that Kubernetes makes for a StatefulSet's pods."""
    if document["kind"] != "StatefulSet":
        return set()
    made = [claim.get("metadata", {}) for claim in document["spec"].get("volumeClaimTemplates", [])]
    return {metadata["name"] for metadata in made if "name" in metadata}
