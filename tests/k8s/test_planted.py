"""Mistakes that people make, planted in the rendered manifests: each is caught, and said by whom.

The first ten got past the tests once; the rest are of their kind.
"""

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import yaml

from .checks import caught
from .objects import Object, Pod, cluster_of, of_kind, ray_pods
from .test_manifests import needs_schemas

Documents = list[Object]


class Planted(NamedTuple):
    mistake: str
    check: str
    says: str
    plant: Callable[[Documents], Any]


def one(documents: Documents, kind: str) -> Object:
    (document,) = of_kind(documents, kind)
    return document


def head(documents: Documents, kind: str) -> Pod:
    return ray_pods(one(documents, kind))[0]


def worker(documents: Documents, kind: str) -> Pod:
    return ray_pods(one(documents, kind))[1]


def first(pod: Pod) -> Object:
    container: Object = pod.containers[0]
    return container


def group(documents: Documents, kind: str) -> Object:
    found: Object = cluster_of(one(documents, kind))["workerGroupSpecs"][0]
    return found


def serve(documents: Documents, change: Callable[[Object], Any]) -> None:
    spec = one(documents, "RayService")["spec"]
    config = yaml.safe_load(spec["serveConfigV2"])
    change(config["applications"][0])
    spec["serveConfigV2"] = yaml.safe_dump(config)


def both(container: Object, name: str, value: str) -> None:
    for bound in ("requests", "limits"):
        container["resources"][bound][name] = value


def override(documents: Documents, text: str) -> None:
    one(documents, "RayJob")["spec"]["entrypoint"] += f" {text}"


def policy(documents: Documents, name: str) -> Object:
    (found,) = (
        d for d in of_kind(documents, "NetworkPolicy") if d["metadata"]["name"] == f"rayrank-{name}"
    )
    spec: Object = found["spec"]
    return spec


def claim_of(pod: Pod) -> Object:
    found: Object = pod.spec["volumes"][0]["persistentVolumeClaim"]
    return found


PLANTED = [
    # What once got past.
    Planted(
        "a claim of 20GB",
        "server",
        "'20GB' is not a quantity",
        lambda d: one(d, "PersistentVolumeClaim")["spec"]["resources"]["requests"].update(
            storage="20GB"
        ),
    ),
    Planted(
        "limits below requests",
        "server",
        "requests 2 of cpu, limit 1",
        lambda d: first(worker(d, "RayJob"))["resources"]["limits"].update(cpu="1"),
    ),
    Planted(
        "fsGroupChangePolicy misspelt",
        "server",
        "'OnRootMissmatch' is not one of",
        lambda d: (
            head(d, "RayJob").spec["securityContext"].update(fsGroupChangePolicy="OnRootMissmatch")
        ),
    ),
    Planted(
        "a port's name of 18 characters",
        "server",
        "'autoscaler-metrics' is not a port's name",
        lambda d: first(head(d, "RayCluster"))["ports"][2].update(name="autoscaler-metrics"),
    ),
    Planted(
        "fsGroup removed",
        "house",
        "securityContext is",
        lambda d: worker(d, "RayJob").spec["securityContext"].pop("fsGroup"),
    ),
    Planted(
        "a replica of 4 CPUs on workers of 2",
        "sums",
        "a replica wants 4 CPUs",
        lambda d: serve(d, lambda a: a["deployments"][0]["ray_actor_options"].update(num_cpus=4)),
    ),
    Planted(
        "a head of 256Mi",
        "sums",
        "head: 0.25 GiB of memory",
        lambda d: both(first(head(d, "RayService")), "memory", "256Mi"),
    ),
    Planted(
        "more training workers than CPUs",
        "sums",
        "8 training workers, 4 CPUs",
        lambda d: override(d, "rankers.mtgr.train.workers=8"),
    ),
    Planted(
        "one training pod for two workers",
        "sums",
        "2 training workers, 1 pods",
        lambda d: group(d, "RayJob").update(replicas=1, minReplicas=1, maxReplicas=1),
    ),
    Planted(
        "bundles that are not the run's",
        "paths",
        "serves /runs/other/bundles",
        lambda d: serve(d, lambda a: a["args"].update(bundles="/runs/other/bundles")),
    ),
    # What was caught before, too.
    Planted(
        "a misspelt field of a pod",
        "server",
        "'resourcs' was unexpected",
        lambda d: first(worker(d, "RayJob")).update(resourcs={}),
    ),
    Planted(
        "a misspelt limit of Serve's",
        "serve",
        "max_ongoing_request is unknown",
        lambda d: serve(d, lambda a: a["deployments"][0].update(max_ongoing_request=5)),
    ),
    Planted(
        "a token without rayVersion",
        "server",
        "token needs rayVersion",
        lambda d: cluster_of(one(d, "RayJob")).pop("rayVersion"),
    ),
    Planted(
        "a name of 48 characters",
        "server",
        "longer than 47",
        lambda d: one(d, "RayJob")["metadata"].update(name="a" * 48),
    ),
    # More of their kind.
    Planted(
        "no room for replicas that take over",
        "sums",
        "2 replicas and 2 that take over; there is room for 2",
        lambda d: group(d, "RayService").update(replicas=1, minReplicas=1, maxReplicas=1),
    ),
    Planted(
        "training on GPUs that no pod has",
        "sums",
        "2 training workers, 0 GPUs",
        lambda d: override(d, "rankers.mtgr.train.use_gpu=true"),
    ),
    Planted(
        "a larger cache than memory",
        "sums",
        "2 replicas want 18.5 GiB",
        lambda d: serve(d, lambda a: a["args"].update(cache_bytes=2**33)),
    ),
    Planted(
        "another run for the job",
        "paths",
        "the job writes /runs/other/bundles",
        lambda d: override(d, "run_dir=/runs/other"),
    ),
    Planted(
        "a run beside the volume",
        "paths",
        "/data/run is not on a volume",
        lambda d: override(d, "run_dir=/data/run"),
    ),
    Planted(
        "a misspelt override",
        "paths",
        "rankers.mtgr.train.worker",
        lambda d: override(d, "rankers.mtgr.train.worker=2"),
    ),
    Planted(
        "a claim that is not there",
        "paths",
        "no PersistentVolumeClaim 'rayrank-run'",
        lambda d: claim_of(head(d, "RayJob")).update(claimName="rayrank-run"),
    ),
    Planted(
        "a mount elsewhere",
        "paths",
        "/runs/ranking is not on a volume",
        lambda d: first(worker(d, "RayJob"))["volumeMounts"][0].update(mountPath="/run"),
    ),
    Planted(
        "a job that cannot write",
        "paths",
        "is not on a volume that the job can write to",
        lambda d: first(worker(d, "RayJob"))["volumeMounts"][0].update(readOnly=True),
    ),
    Planted(
        "a claim for one machine",
        "paths",
        "and one alone may",
        lambda d: one(d, "PersistentVolumeClaim")["spec"].update(accessModes=["ReadWriteOnce"]),
    ),
    Planted(
        "an account that is not there",
        "paths",
        "no ServiceAccount 'rayrank'",
        lambda d: one(d, "ServiceAccount")["metadata"].update(name="rayranks"),
    ),
    Planted(
        "a secret that nobody makes",
        "paths",
        "makes no secret 'rayrank-key'",
        lambda d: first(head(d, "RayService"))["env"][0]["valueFrom"]["secretKeyRef"].update(
            name="rayrank-key"
        ),
    ),
    Planted(
        "Serve on another port than the pods'",
        "ports",
        "port 'serve' is 8000, not 8001",
        lambda d: first(worker(d, "RayService"))["ports"][0].update(containerPort=8001),
    ),
    Planted(
        "a policy for another port",
        "ports",
        "opens 8001, where nothing listens",
        lambda d: policy(d, "serve")["ingress"][0]["ports"][0].update(port=8001),
    ),
    Planted(
        "metrics shut",
        "reach",
        "Prometheus -> training worker 8080/TCP: is shut",
        lambda d: policy(d, "metrics").update(ingress=[]),
    ),
    Planted(
        "the metadata service open",
        "reach",
        "cloud's metadata 443/TCP: is open",
        lambda d: policy(d, "object-store")["egress"][0]["to"][0]["ipBlock"].pop("except"),
    ),
    Planted(
        "an island with a bridge",
        "reach",
        "serving worker -> training head 8265/TCP: is open",
        lambda d: policy(d, "within-training")["ingress"][0]["from"][0]["podSelector"][
            "matchLabels"
        ].pop("app.kubernetes.io/component"),
    ),
    Planted(
        "a head that dies of tasks",
        "ray",
        "tasks may run on the head",
        lambda d: cluster_of(one(d, "RayJob"))["headGroupSpec"]["rayStartParams"].clear(),
    ),
]


@needs_schemas
@pytest.mark.parametrize("planted", PLANTED, ids=[f"{p.mistake} ({p.check})" for p in PLANTED])
def test_mistake_is_caught(manifests: Documents, planted: Planted) -> None:
    documents = copy.deepcopy(manifests)
    planted.plant(documents)
    changed = [new for new, old in zip(documents, manifests, strict=True) if new != old]
    assert changed
    found = caught(documents, changed)
    assert any(planted.says in fault for fault in found.get(planted.check, [])), found
