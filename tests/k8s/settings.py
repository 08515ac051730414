"""The variables of a container, from its template and the ConfigMaps that it names."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from .objects import Object, of_kind, pods


def variables(container: Object, documents: list[Object]) -> dict[str, str]:
    data = {d["metadata"]["name"]: d.get("data", {}) for d in of_kind(documents, "ConfigMap")}
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        found |= data.get(source.get("configMapRef", {}).get("name"), {})
    return found | {v["name"]: v["value"] for v in container.get("env", []) if "value" in v}


def of_head(cluster: Object, documents: list[Object]) -> dict[str, str]:
    """Where a job's own process runs, and an application is built."""
    (pod,) = pods(cluster["headGroupSpec"])
    return variables(pod.spec["containers"][0], documents)


@contextmanager
def environment(told: Mapping[str, str]) -> Iterator[None]:
    """For what reads a config as it would be read in the pod: with its variables, not ours."""
    before = dict(os.environ)
    for name in [name for name in before if name.startswith("RAYRANK_")]:
        del os.environ[name]
    os.environ.update(told)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
