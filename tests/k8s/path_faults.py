"""The run that the job writes is what the service reads; keys and Redis are where both say."""

from collections.abc import Iterator
from functools import cache
from pathlib import PurePosixPath
from typing import Any

import yaml

from .job_config import read_job
from .objects import ROOT, Object, Pod, cluster_of, of_kind, pods, ray_pods, title
from .ray_groups import is_on_gpus
from .reference_faults import reference_faults
from .serve_config import serve_config_of
from .settings import of_head
from .storage_faults import Place, place_of, storage_faults

SERVED = {False: "serve_apps/ranking.yaml", True: "serve_apps/ranking_gpu.yaml"}
KEYS_SECRET, KEYS_FILE = "rayrank-api-key", "api-key"
REDIS, REDIS_SECRET, PASSWORD = "rayrank-redis", "rayrank-redis", "password"


def path_faults(documents: list[Object]) -> list[str]:
    return [
        *reference_faults(documents),
        *storage_faults(documents),
        *run_faults(documents),
        *redis_faults(documents),
    ]


@cache
def served(file: str) -> object:
    return yaml.safe_load((ROOT / file).read_text())


def run_faults(documents: list[Object]) -> Iterator[str]:
    """The job writes its run's bundles; the service reads those, from there."""
    written: dict[str, Place | None] = {}
    for document in of_kind(documents, "RayCronJob"):
        job, faults = read_job(document, documents)
        yield from (f"{title(document)}: {fault}" for fault in faults)
        if job is None:
            continue
        run = job.config.run_dir
        bundles = f"{run}/bundles"
        written[bundles] = None
        for pod in [] if "://" in run else ray_pods(document):
            place = place_of(pod, run)
            if place is None or place.source != "claim" or not place.writable:
                yield f"{pod.where}: {run} is not on a volume that the job can write to"
            else:
                written[bundles] = place_of(pod, bundles)
    for document in of_kind(documents, "RayService"):
        file = SERVED[is_on_gpus(documents)]
        if serve_config_of(document) != served(file):
            yield f"{title(document)}: serveConfigV2 is not {file}"
        told = of_head(cluster_of(document), documents)
        for application in serve_config_of(document)["applications"]:
            args = application["args"]
            bundles = args["bundles"].replace("$RAYRANK_RUNS", told.get("RAYRANK_RUNS", ""))
            yield from served_faults(document, bundles, written)
            for pod in ray_pods(document):
                yield from key_faults(pod, args.get("keys_file"))


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
        elif source and place[:3] != source[:3]:
            yield f"{pod.where}: {bundles} is not the job's"


def key_faults(pod: Pod, file: str | None) -> Iterator[str]:
    place = place_of(pod, file or "")
    if place is None or place[:3] != ("secret", KEYS_SECRET, PurePosixPath(KEYS_FILE)):
        yield f"{pod.where}: {file} is not the key {KEYS_FILE!r} of the secret {KEYS_SECRET}"


def redis_faults(documents: list[Object]) -> Iterator[str]:
    """The head knows Redis by its Service, and the password by the secret that Redis reads."""
    known = [
        f"{service['metadata']['name']}:{port['port']}"
        for service in of_kind(documents, "Service")
        for port in service["spec"].get("ports", [])
    ]
    for document in of_kind(documents, "RayService"):
        options: Any = cluster_of(document).get("gcsFaultToleranceOptions", {})
        if options.get("redisAddress") not in known:
            yield f"{title(document)}: no Service is {options.get('redisAddress')}"
        wanted = {"valueFrom": {"secretKeyRef": {"name": REDIS_SECRET, "key": PASSWORD}}}
        if options.get("redisPassword") != wanted:
            yield f"{title(document)}: redisPassword is {options.get('redisPassword')}"
        if options.keys() - {"redisAddress", "redisPassword"}:
            yield f"{title(document)}: gcsFaultToleranceOptions has {sorted(options)}"
    for document in of_kind(documents, "StatefulSet"):
        yield from (f"{title(document)}: {fault}" for fault in server_faults(document, documents))


def server_faults(document: Object, documents: list[Object]) -> Iterator[str]:
    """One, which has what it was told on disk before it says so."""
    spec = document["spec"]
    services = {service["metadata"]["name"] for service in of_kind(documents, "Service")}
    if spec["serviceName"] not in services:
        yield f"there is no Service {spec['serviceName']!r}"
    if spec["selector"] != {"matchLabels": spec["template"]["metadata"]["labels"]}:
        yield f"selector is {spec['selector']}"
    if spec.get("replicas", 1) != 1:
        yield "several that know nothing of each other"
    (pod,) = pods(spec["template"])
    (container,) = pod.containers
    script = " ".join(container.get("command", []))
    mounts = {m["mountPath"]: m for m in container.get("volumeMounts", [])}
    claims = {c["metadata"]["name"]: c for c in spec.get("volumeClaimTemplates", [])}
    secrets = {n: v["secret"]["secretName"] for n, v in pod.volumes.items() if "secret" in v}
    held = {path: secrets.get(m["name"]) for path, m in mounts.items() if m.get("readOnly")}
    if not any(s == REDIS_SECRET and f"$(cat {at}/{PASSWORD})" in script for at, s in held.items()):
        yield f"does not read its password from the secret {REDIS_SECRET}"
    kept = [path for path, m in mounts.items() if m["name"] in claims and not m.get("readOnly")]
    if len(kept) != 1 or f'"dir {kept[0]}"' not in script:
        yield "does not write to its claim"
    if set(mounts) != {*kept, *(at for at in held if held[at])}:
        yield f"mounts {sorted(mounts)}"
    for claim in claims.values():
        if claim["spec"]["accessModes"] != ["ReadWriteOnce"]:
            yield "its claim is not its own"
    if script != SCRIPT:
        yield f"runs {script}"
    for probe in ("readinessProbe", "livenessProbe"):
        if container.get(probe, {}).get("tcpSocket") != {"port": "redis"}:
            yield f"{probe} does not ask its port"


# Every write is on disk before it is answered for; the password is in no argument.
SCRIPT = (
    'sh -c { echo "requirepass $(cat /etc/redis/password)"; echo "dir /data"; '
    'echo "appendonly yes"; echo "appendfsync always"; } | exec redis-server -'
)
