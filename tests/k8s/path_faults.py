"""What one file names is what another has: claims, accounts, secrets, folders of the run."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import PurePosixPath
from typing import NamedTuple

import yaml

from .job_config import read_job
from .objects import RAY_KINDS, ROOT, Object, Pod, of_kind, pods, ray_pods, title, walk
from .serve_config import serve_config_of

SERVED = ROOT / "serve_apps" / "ranking.yaml"
README = ROOT / "k8s" / "README.md"
MADE_BY_KUBERNETES = {"ServiceAccount": {"default"}, "ConfigMap": {"kube-root-ca.crt"}}


class Place(NamedTuple):
    """Of a folder in a pod: which claim, which folder in it, and whether it may be written."""

    claim: str
    folder: PurePosixPath
    writable: bool


def path_faults(documents: list[Object]) -> list[str]:
    found = []
    for document in documents:
        for pod in pods(document, title(document)):
            found += [f"{pod.where}: {fault}" for fault in reference_faults(pod, documents)]
    return [
        *found,
        *run_faults(documents),
        *mount_faults(documents),
        *readme_faults(documents),
    ]


def readme_faults(documents: list[Object]) -> Iterator[str]:
    """README.md speaks of objects that are there."""
    text = README.read_text()
    made = re.findall(r"create secret generic (\S+)", text)
    known = {*made, *(document["metadata"]["name"] for document in documents)}
    for name in sorted(set(re.findall(r"`(rayrank-[-a-z]+)`", text)) - known):
        yield f"README.md speaks of {name!r}, which is not there"


def reference_faults(pod: Pod, documents: list[Object]) -> Iterator[str]:
    wanted = [("ServiceAccount", pod.spec.get("serviceAccountName", "default"))]
    secrets = []
    for path, value in walk(pod.spec):
        if path[-1] == "claimName":
            wanted.append(("PersistentVolumeClaim", value))
        if path[-1] == "configMapKeyRef":
            wanted.append(("ConfigMap", value["name"]))
        if path[-1] == "secretKeyRef":
            secrets.append((value["name"], value["key"]))
    for kind, name in wanted:
        known = {d["metadata"]["name"] for d in of_kind(documents, kind)}
        if name not in known | MADE_BY_KUBERNETES.get(kind, set()):
            yield f"there is no {kind} {name!r}"
    for name, key in secrets:
        # Secrets are made by hand, as README.md says.
        if not re.search(
            rf"create secret generic {re.escape(name)} .*={key}\b|"
            rf"create secret generic {re.escape(name)} --from-file={key}=",
            README.read_text(),
        ):
            yield f"README.md makes no secret {name!r} with the key {key!r}"


def place_of(pod: Pod, folder: str) -> Place | None:
    """Where `folder` lies, by the pod's innermost mount above it."""
    wanted = PurePosixPath(folder)
    claims = {
        volume["name"]: volume["persistentVolumeClaim"]
        for volume in pod.spec.get("volumes", [])
        if "persistentVolumeClaim" in volume
    }
    mounts = [
        (PurePosixPath(mount["mountPath"]), mount)
        for container in pod.spec["containers"][:1]
        for mount in container.get("volumeMounts", [])
        if mount["name"] in claims and wanted.is_relative_to(mount["mountPath"])
    ]
    if not mounts:
        return None
    above, mount = max(mounts, key=lambda pair: len(pair[0].parts))
    claim = claims[mount["name"]]
    read_only = mount.get("readOnly", False) or claim.get("readOnly", False)
    within = PurePosixPath(mount.get("subPath", ".")) / wanted.relative_to(above)
    return Place(claim["claimName"], within, not read_only)


@cache
def served() -> object:
    return yaml.safe_load(SERVED.read_text())


def run_faults(documents: list[Object]) -> Iterator[str]:
    """The job writes its run to a volume; the service reads that run's bundles, from there."""
    written: dict[str, Place | None] = {}
    for document in of_kind(documents, "RayJob"):
        job, faults = read_job(document)
        yield from faults
        if job is None:
            continue
        run = job.config.run_dir
        bundles = f"{run}/bundles"
        written[bundles] = None
        for pod in [] if "://" in run else ray_pods(document):
            place = place_of(pod, run)
            if place is None or not place.writable:
                yield f"{pod.where}: {run} is not on a volume that the job can write to"
            else:
                written[bundles] = place_of(pod, bundles)
    for document in of_kind(documents, "RayService"):
        if serve_config_of(document) != served():
            yield f"{title(document)}: serveConfigV2 is not {SERVED.relative_to(ROOT)}"
        for application in serve_config_of(document)["applications"]:
            yield from served_faults(document, application["args"]["bundles"], written)


def served_faults(
    document: Object, bundles: str, written: dict[str, Place | None]
) -> Iterator[str]:
    if written and bundles not in written:
        yield f"{title(document)}: serves {bundles}; the job writes {', '.join(written)}"
        return
    for pod in [] if "://" in bundles else ray_pods(document):
        place, source = place_of(pod, bundles), written.get(bundles)
        if place is None:
            yield f"{pod.where}: {bundles} is on no volume"
        elif place.writable:
            yield f"{pod.where}: {bundles} need not be writable"
        elif source and place[:2] != source[:2]:
            yield f"{pod.where}: {bundles} is not the job's"


def mount_faults(documents: list[Object]) -> Iterator[str]:
    """A claim that pods of several machines mount must allow it, and is at one place in all."""
    at: dict[str, set[str]] = {}
    for document in [d for kind in RAY_KINDS for d in of_kind(documents, kind)]:
        for pod in ray_pods(document):
            names = {
                v["name"]: v["persistentVolumeClaim"]["claimName"]
                for v in pod.spec.get("volumes", [])
                if "persistentVolumeClaim" in v
            }
            mounted = {
                m["name"]: m["mountPath"] for c in pod.containers for m in c.get("volumeMounts", [])
            }
            for name, claim in names.items():
                if name not in mounted:
                    yield f"{pod.where}: volume {name!r} is mounted nowhere"
                at.setdefault(claim, set()).add(mounted.get(name, ""))
    for claim in of_kind(documents, "PersistentVolumeClaim"):
        name = claim["metadata"]["name"]
        if "ReadWriteMany" not in claim["spec"]["accessModes"]:
            yield f"claim {name!r}: pods of several machines mount it, and one alone may"
        if len(at.get(name, ())) != 1:
            yield f"claim {name!r}: mounted at {sorted(at.get(name, ()))}, which is not one place"
