"""How a mistake is planted in rendered manifests: short names for the places of which it is one."""

from collections.abc import Callable
from typing import Any, NamedTuple

import yaml

from .objects import Object, Pod, cluster_of, job_of, of_kind, pods, ray_pods

Documents = list[Object]


class Planted(NamedTuple):
    mistake: str
    check: str
    says: str
    plant: Callable[[Documents], Any]
    overlay: str = "cpu"
    """Of what is rendered: overlay, storage, options, with spaces between."""


def one(documents: Documents, kind: str, name: str = "") -> Object:
    (found,) = (d for d in of_kind(documents, kind) if name in ("", d["metadata"]["name"]))
    return found


def spec(documents: Documents, kind: str) -> Object:
    found: Object = one(documents, kind)["spec"]
    return found


def day(documents: Documents) -> Object:
    """The RayJob's spec."""
    return job_of(one(documents, "RayCronJob"))


def rules(documents: Documents) -> list[Object]:
    found: list[Object] = day(documents)["deletionStrategy"]["deletionRules"]
    return found


def cluster(documents: Documents, kind: str) -> Object:
    return cluster_of(one(documents, kind))


def head(documents: Documents, kind: str) -> Pod:
    return ray_pods(one(documents, kind))[0]


def worker(documents: Documents, kind: str) -> Pod:
    return ray_pods(one(documents, kind))[1]


def pod_of(documents: Documents, kind: str) -> Pod:
    """Of a CronJob or a StatefulSet."""
    (found,) = pods(one(documents, kind))
    return found


def first(pod: Pod) -> Object:
    container: Object = pod.spec["containers"][0]
    return container


def mount(pod: Pod, name: str) -> Object:
    (found,) = (m for m in first(pod)["volumeMounts"] if m["name"] == name)
    mounted: Object = found
    return mounted


def group(documents: Documents, kind: str) -> Object:
    found: Object = cluster(documents, kind)["workerGroupSpecs"][0]
    return found


def size(documents: Documents, kind: str, least: int, most: int) -> None:
    group(documents, kind).update(replicas=least, minReplicas=least, maxReplicas=most)


def serve(documents: Documents, change: Callable[[Object], Any]) -> None:
    service = spec(documents, "RayService")
    config = yaml.safe_load(service["serveConfigV2"])
    change(config["applications"][0])
    service["serveConfigV2"] = yaml.safe_dump(config)


def deployment(documents: Documents, **told: Any) -> None:
    serve(documents, lambda a: a["deployments"][0].update(told))


def both(container: Object, name: str, value: str) -> None:
    for bound in ("requests", "limits"):
        container["resources"][bound][name] = value


def override(documents: Documents, text: str) -> None:
    day(documents)["entrypoint"] += f" {text}"


def settings(documents: Documents) -> dict[str, str]:
    data: dict[str, str] = one(documents, "ConfigMap")["data"]
    return data


def policy(documents: Documents, name: str) -> Object:
    found: Object = one(documents, "NetworkPolicy", f"rayrank-{name}")["spec"]
    return found


def hook(documents: Documents) -> list[str]:
    stop = first(worker(documents, "RayService"))["lifecycle"]["preStop"]
    command: list[str] = stop["exec"]["command"]
    return command


def drop(documents: Documents, kind: str, name: str) -> None:
    documents.remove(one(documents, kind, name))
