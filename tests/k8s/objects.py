"""What the checks share: documents, their Ray cluster, their pods, a walk over all they say."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

Object = dict[str, Any]
Path_ = tuple[str | int, ...]

ROOT = Path(__file__).parents[2]
# What makes pods of Ray. A RayCronJob stands for the RayJobs that are made from it.
RAY_KINDS = ("RayCluster", "RayCronJob", "RayService")
CLUSTER_PATH = {
    "RayCluster": ("spec",),
    "RayJob": ("spec", "rayClusterSpec"),
    "RayCronJob": ("spec", "jobTemplate", "rayClusterSpec"),
    "RayService": ("spec", "rayClusterConfig"),
}


def find(documents: list[Object], kind: str, name: str | None = None) -> Object:
    """A copy, for a test to change."""
    found = [d for d in documents if d["kind"] == kind and name in (None, d["metadata"]["name"])]
    assert len(found) == 1, f"{len(found)} objects of kind {kind}, name {name}"
    return copy.deepcopy(found[0])


def of_kind(documents: list[Object], kind: str) -> list[Object]:
    return [document for document in documents if document["kind"] == kind]


def title(document: Object) -> str:
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return f"{document['kind']}/{name}"


def ray_documents(documents: list[Object]) -> list[Object]:
    return [document for kind in RAY_KINDS for document in of_kind(documents, kind)]


def cluster_of(document: Object) -> Object:
    place = document
    for step in CLUSTER_PATH[document["kind"]]:
        place = place[step]
    return place


def job_of(document: Object) -> Object:
    """A RayJob's spec, of itself or of what it is made from."""
    spec: Object = document["spec"]
    return spec["jobTemplate"] if document["kind"] == "RayCronJob" else spec


class Pod(NamedTuple):
    where: str
    labels: dict[str, str]
    spec: Object

    @property
    def containers(self) -> list[Object]:
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    @property
    def volumes(self) -> dict[str, Object]:
        return {volume["name"]: volume for volume in self.spec.get("volumes", [])}


def pods(value: Any, where: str = "") -> Iterator[Pod]:
    """Every pod template, wherever it is: head, workers, submitter, or one yet to come."""
    if isinstance(value, list):
        for position, item in enumerate(value):
            yield from pods(item, f"{where}[{position}]")
    elif isinstance(value, dict):
        spec = value.get("spec")
        if isinstance(spec, dict) and "containers" in spec:
            yield Pod(where, value.get("metadata", {}).get("labels", {}), spec)
        for key, item in value.items():
            yield from pods(item, f"{where}.{key}" if where else str(key))


def ray_pods(document: Object) -> list[Pod]:
    """The head's, then each worker group's."""
    return list(pods(cluster_of(document), document["kind"]))


def walk(value: Any, path: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    """Every place below `value`, with what is there."""
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield (*path, key), item
            yield from walk(item, (*path, key))


def spell(path: Path_) -> str:
    """`.spec.ports[0].name`"""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
