"""The rendered base is accepted, and says what it is meant to say; the schemas' checks bite."""

from collections.abc import Callable
from typing import Any

import pytest

from .checks import BEYOND, server_faults
from .k8s_validation import SCHEMAS, faults
from .objects import RAY_KINDS, Object, cluster_of, find, pods

needs_schemas = pytest.mark.skipif(
    not SCHEMAS.is_dir(), reason=f"{SCHEMAS} is absent: custom resources cannot be validated"
)

# The validator


@needs_schemas
def test_base_is_valid(manifests: list[Object]) -> None:
    assert set(RAY_KINDS) <= {m["kind"] for m in manifests}
    assert server_faults(manifests) == []


@pytest.mark.parametrize("check", BEYOND)
def test_base_passes(manifests: list[Object], check: str) -> None:
    assert BEYOND[check](manifests) == []


def test_every_pod_is_looked_at(manifests: list[Object]) -> None:
    # Head and worker of three clusters, and the job's submitter.
    assert len([pod for document in manifests for pod in pods(document)]) == 7


def worker(document: Object) -> Object:
    """The container of a RayJob's workers."""
    groups = document["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    container: Object = groups[0]["template"]["spec"]["containers"][0]
    return container


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
        lambda d: d["spec"].update(shutdownAfterJobFinishes=False),
        "needs shutdownAfterJobFinishes",
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
    document = find(manifests, kind)
    change(document)
    (found,) = faults(document)
    assert expected in found


@needs_schemas
def test_defaults_come_before_required_fields(manifests: list[Object]) -> None:
    document = find(manifests, "RayJob")
    # Required by the schema, and given by its defaults.
    del cluster_of(document)["workerGroupSpecs"][0]["maxReplicas"]
    assert faults(document) == []
