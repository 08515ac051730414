"""Each overlay is accepted, and says what it is meant to say; the schemas' checks bite."""

from collections.abc import Callable
from typing import Any

import pytest

from .as_run import run_pods
from .checks import BEYOND, server_faults
from .k8s_validation import SCHEMAS, faults
from .made_jobs import made_job
from .objects import Object, cluster_of, find
from .ray_groups import is_on_gpus
from .render import OPTIONS, OVERLAYS, STORAGES, rendered

needs_schemas = pytest.mark.skipif(
    not SCHEMAS.is_dir(), reason=f"{SCHEMAS} is absent: custom resources cannot be validated"
)

COMBINED = [
    *((overlay, storage, ()) for overlay in OVERLAYS for storage in ("", *STORAGES)),
    *((overlay, "", (option,)) for overlay in OVERLAYS for option in OPTIONS),
    ("gpu", "volume", ("kueue", "incremental-upgrade")),
    ("gpu", "", ("volcano", "incremental-upgrade")),
]


@needs_schemas
@pytest.mark.parametrize(
    "parts", COMBINED, ids=[" ".join([o, s, *options]) for o, s, options in COMBINED]
)
def test_overlays_pass(parts: tuple[str, str, tuple[str, ...]]) -> None:
    documents = rendered(*parts)
    assert server_faults(documents) == []
    assert [fault for check in BEYOND.values() for fault in check(documents)] == []


@pytest.mark.parametrize("check", BEYOND)
def test_each_check_passes(overlay: list[Object], check: str) -> None:
    assert list(BEYOND[check](overlay)) == []


def test_every_pod_is_looked_at(overlay: list[Object]) -> None:
    """Head and workers of three clusters, the job's submitter, the CronJob's pod, Redis."""
    found = [pod for document in overlay for pod in run_pods(document)]
    assert len(found) == (10 if is_on_gpus(overlay) else 9)
    # With the autoscaler, of which the manifests have no container.
    assert [len(pod.containers) for pod in found].count(2) == 1


def test_options_that_do_not_go_together() -> None:
    """KubeRay makes RayJobs without the labels of what they are made from."""
    documents = rendered("gpu", "", ("kueue", "raycronjob"))
    assert any("no label of a queue" in fault for fault in BEYOND["kueue"](documents))


def worker(document: Object) -> Object:
    """The container of a RayJob's workers."""
    groups = document["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    container: Object = groups[0]["template"]["spec"]["containers"][0]
    return container


def named(document: Object, name: str) -> None:
    document["metadata"]["name"] = name


def document_of(manifests: list[Object], kind: str) -> Object:
    """A copy, for a test to change; the RayJob is the one that the template makes."""
    if kind == "RayJob":
        return made_job(find(manifests, "RayCronJob"))
    return find(manifests, kind)


def drop_group_name(document: Object) -> None:
    del document["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["groupName"]


def drop_ray_version(document: Object) -> None:
    del document["spec"]["rayClusterSpec"]["rayVersion"]


BOTH_STATUSES = {"jobStatus": "FAILED", "jobDeploymentStatus": "Failed"}
ALIEN_RULE = {"policy": "DeleteCluster", "condition": BOTH_STATUSES}

MUTATIONS: list[tuple[str, str, Callable[[Object], Any], str]] = [
    ("misspelt field", "RayJob", lambda d: d["spec"].update(entrypiont="x"), "'entrypiont' was"),
    ("misspelt deep down", "RayJob", lambda d: worker(d).update(resourcs={}), "'resourcs' was"),
    ("misspelt metadata", "RayJob", lambda d: d["metadata"].update(label={}), "'label' was"),
    ("wrong type", "RayJob", lambda d: d["spec"].update(backoffLimit="two"), "'two' is not of"),
    ("wrong label type", "RayJob", lambda d: d["metadata"]["labels"].update(a=1), "1 is not of"),
    (
        "not in the enumeration",
        "RayJob",
        lambda d: cluster_of(d)["authOptions"].update(mode="on"),
        "'on' is not one of",
    ),
    ("required field gone", "RayJob", drop_group_name, "'groupName' is a required"),
    ("CEL on a field", "RayJob", lambda d: d["spec"].update(managedBy="me"), "managedBy field val"),
    ("CEL on an object", "RayJob", lambda d: d["spec"].update(deletionStrategy={}), "BOTH onSucc"),
    (
        "CEL within a list",
        "RayJob",
        lambda d: d["spec"].update(deletionStrategy={"deletionRules": [ALIEN_RULE]}),
        "cannot be used together within the same deletion condition",
    ),
    ("long job name", "RayJob", lambda d: d["metadata"].update(name="a" * 48), "longer than 47"),
    ("long service name", "RayService", lambda d: d["metadata"].update(name="a" * 48), "than 47"),
    ("long cluster name", "RayCluster", lambda d: d["metadata"].update(name="a" * 54), "than 53"),
    ("name with a dot", "RayJob", lambda d: d["metadata"].update(name="a.b"), "not a DNS-1035"),
    ("token without version", "RayJob", drop_ray_version, "token needs rayVersion"),
    (
        "time to live of what stays",
        "RayJob",
        lambda d: d["spec"].update(ttlSecondsAfterFinished=60),
        "needs shutdownAfterJobFinishes",
    ),
    ("long name of a template", "RayCronJob", lambda d: named(d, "a" * 37), "longer than 36"),
    ("no schedule", "RayCronJob", lambda d: d["spec"].update(schedule="daily"), "is not a sched"),
    (
        "a zone in the schedule",
        "RayCronJob",
        lambda d: d["spec"].update(schedule="TZ=UTC 30 2 * * *"),
        "is not a schedule",
    ),
    ("no such zone", "RayCronJob", lambda d: d["spec"].update(timeZone="Mars"), "not a time zone"),
    (
        "a template that is refused",
        "RayCronJob",
        lambda d: cluster_of(d).pop("rayVersion"),
        "its RayJob: authOptions.mode token needs rayVersion",
    ),
    (
        "token of the Kubernetes API",
        "RayService",
        lambda d: cluster_of(d)["authOptions"].update(enableK8sTokenAuth=True),
        "not for a RayService",
    ),
    (
        "misspelt in a built-in kind",
        "PersistentVolumeClaim",
        lambda d: d["spec"].update(accessMode=[]),
        "'accessMode' was unexpected",
    ),
]


@needs_schemas
@pytest.mark.parametrize(
    ("kind", "change", "expected"),
    [mutation[1:] for mutation in MUTATIONS],
    ids=[mutation[0] for mutation in MUTATIONS],
)
def test_validator_bites(
    manifests: list[Object],
    kind: str,
    change: Callable[[Object], Any],
    expected: str,
) -> None:
    document = document_of(manifests, kind)
    change(document)
    (found,) = faults(document)
    assert expected in found


@needs_schemas
def test_defaults_come_before_required_fields(manifests: list[Object]) -> None:
    document = document_of(manifests, "RayJob")
    # Required by the schema, and given by its defaults.
    del cluster_of(document)["workerGroupSpecs"][0]["maxReplicas"]
    assert faults(document) == []
