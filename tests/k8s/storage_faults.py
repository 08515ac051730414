"""Where runs are: on a volume that training writes and serving reads, or in a bucket whose key is a
file. One setting says which, for all pods."""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

from .as_run import as_run
from .objects import Object, Pod, of_kind, ray_documents, ray_pods, title
from .ray_groups import is_on_gpus
from .settings import variables

RUNS, CREDENTIALS = "RAYRANK_RUNS", "AWS_SHARED_CREDENTIALS_FILE"
STORE_SECRET, STORE_KEY = "rayrank-object-store", "credentials"


class Place(NamedTuple):
    """Of a folder in a pod: which volume's, which folder in it, and whether it may be written."""

    source: str
    name: str
    folder: PurePosixPath
    writable: bool


def place_of(pod: Pod, folder: str) -> Place | None:
    """Where `folder` lies, by the pod's innermost mount above it."""
    wanted = PurePosixPath(folder)
    mounts = [
        (PurePosixPath(mount["mountPath"]), mount)
        for mount in pod.spec["containers"][0].get("volumeMounts", [])
        if wanted.is_relative_to(mount["mountPath"]) and mount["name"] in pod.volumes
    ]
    if not mounts:
        return None
    above, mount = max(mounts, key=lambda pair: len(pair[0].parts))
    volume = pod.volumes[mount["name"]]
    claim, secret = volume.get("persistentVolumeClaim"), volume.get("secret")
    within = PurePosixPath(mount.get("subPath", ".")) / wanted.relative_to(above)
    writable = not mount.get("readOnly", False)
    if claim is not None:
        writable = writable and not claim.get("readOnly", False)
        return Place("claim", claim["claimName"], within, writable)
    if secret is not None:
        return Place("secret", secret["secretName"], within, False)
    return Place("other", mount["name"], within, writable)


def storage_faults(documents: list[Object]) -> list[str]:
    found = []
    for document in ray_documents(documents):
        may_write = document["kind"] != "RayService"
        for pod in ray_pods(document):
            told = variables(pod.spec["containers"][0], documents)
            found += [f"{pod.where}: {f}" for f in pod_storage_faults(pod, told, may_write)]
    return [*found, *claim_faults(documents)]


def pod_storage_faults(pod: Pod, told: dict[str, str], may_write: bool) -> Iterator[str]:
    runs = told.get(RUNS, "")
    if runs.startswith("s3://") and len(runs) > len("s3://"):
        yield from key_faults(pod, told.get(CREDENTIALS, ""))
        return
    if CREDENTIALS in told:
        yield f"{CREDENTIALS}, and runs are at {runs!r}"
    place = place_of(pod, runs) if runs.startswith("/") else None
    if place is None or place.source != "claim":
        yield f"{RUNS}={runs} is on no claim that it mounts"
    elif place.folder != PurePosixPath("."):
        yield f"{RUNS}={runs} is {place.folder} of its claim, which another tree may have"
    elif place.writable is not may_write:
        yield f"{RUNS}={runs} {'cannot' if may_write else 'need not'} be written"


def key_faults(pod: Pod, file: str) -> Iterator[str]:
    place = place_of(pod, file) if file.startswith("/") else None
    if place is None or place[:3] != ("secret", STORE_SECRET, PurePosixPath(STORE_KEY)):
        yield f"{CREDENTIALS}={file} is not the file {STORE_KEY!r} of the secret {STORE_SECRET}"


def claim_faults(documents: list[Object]) -> Iterator[str]:
    """A claim that pods of several machines mount must allow it; every volume is mounted."""
    used: set[str] = set()
    for document in ray_documents(documents):
        for pod in ray_pods(as_run(document)):
            mounted = {m["name"] for c in pod.containers for m in c.get("volumeMounts", [])}
            for name, volume in pod.volumes.items():
                if name not in mounted:
                    yield f"{pod.where}: volume {name!r} is mounted nowhere"
                used.add(volume.get("persistentVolumeClaim", {}).get("claimName", ""))
    for claim in of_kind(documents, "PersistentVolumeClaim"):
        # A laptop's kind has one node, and storage for one alone.
        wanted = "ReadWriteMany" if is_on_gpus(documents) else "ReadWriteOnce"
        if claim["spec"]["accessModes"] != [wanted]:
            yield f"{title(claim)}: {claim['spec']['accessModes']}, not {wanted}"
        if claim["metadata"]["name"] not in used:
            yield f"{title(claim)}: nobody mounts it"
