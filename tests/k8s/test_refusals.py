"""What the operator, an API server or a kubelet refuses, of fields that the base may yet have."""

from collections.abc import Callable
from typing import Any

import pytest

from .k8s_validation import faults
from .objects import Object, cluster_of, find, ray_pods
from .test_manifests import needs_schemas

Change = Callable[[Object], Any]

JOB: list[tuple[str, Change]] = [
    (
        "suspend: needs shutdown",
        lambda s: s.update(suspend=True, shutdownAfterJobFinishes=False, ttlSecondsAfterFinished=0),
    ),
    ("rayClusterSpec or clusterSelector", lambda s: s.pop("rayClusterSpec")),
    ("no ray.io/cluster", lambda s: s.update(clusterSelector={"a": "b"})),
    (
        "backoffLimit: not with clusterSelector",
        lambda s: s.update(clusterSelector={"ray.io/cluster": "a"}, backoffLimit=1),
    ),
    (
        "not in InteractiveMode",
        lambda s: s.update(submissionMode="InteractiveMode", backoffLimit=1),
    ),
    ("submitterPodTemplate: not in", lambda s: s.update(submissionMode="SidecarMode")),
    (
        "must be Never or OnFailure",
        lambda s: s["submitterPodTemplate"]["spec"].update(restartPolicy="Always"),
    ),
    ("0 is less than the minimum of 1", lambda s: s.update(preRunningDeadlineSeconds=0)),
    ("runtimeEnvYAML: is not", lambda s: s.update(runtimeEnvYAML="a: [")),
    (
        "rules not with shutdownAfter",
        lambda s: s.update(
            deletionStrategy={
                "deletionRules": [{"policy": "DeleteCluster", "condition": {"jobStatus": "FAILED"}}]
            }
        ),
    ),
]
SERVICE: list[tuple[str, Change]] = [
    (
        "needs clusterUpgradeOptions",
        lambda s: s.update(upgradeStrategy={"type": "NewClusterWithIncrementalUpgrade"}),
    ),
    (
        "needs the autoscaler",
        lambda s: s.update(
            upgradeStrategy={
                "type": "NewClusterWithIncrementalUpgrade",
                "clusterUpgradeOptions": {
                    "stepSizePercent": 10,
                    "intervalSeconds": 5,
                    "gatewayClassName": "istio",
                },
            }
        ),
    ),
    ("its type is unknown", lambda s: s.update(upgradeStrategy={"type": "Rolling"})),
]
CLUSTER: list[tuple[str, Change]] = [
    ("networkPolicy: its feature gate", lambda c: c.update(networkPolicy={})),
    ("replicas 3 are not within", lambda c: c["workerGroupSpecs"][0].update(replicas=3)),
    ("minReplicas 2, maxReplicas 1", lambda c: c["workerGroupSpecs"][0].update(minReplicas=2)),
    ("'head': twice", lambda c: c["workerGroupSpecs"][0].update(groupName="head")),
    ("'Big': is not a label", lambda c: c["workerGroupSpecs"][0].update(groupName="Big")),
    (
        "labels belong to the group",
        lambda c: c["headGroupSpec"]["rayStartParams"].update(labels="a"),
    ),
    ("resources both in", lambda c: c["headGroupSpec"].update(resources={"CPU": "0"})),
    (
        "restartPolicy must be Never",
        lambda c: (
            c.update(enableInTreeAutoscaling=True, autoscalerOptions={"version": "v2"}),
            c["headGroupSpec"]["template"]["spec"].update(restartPolicy="Always"),
        ),
    ),
    ("Ray 2.51.0 is too old", lambda c: c.update(rayVersion="2.51.0")),
    ("'two' is not a version", lambda c: c.update(rayVersion="two")),
    ("rocksdb is off", lambda c: c.update(gcsFaultToleranceOptions={"backend": "rocksdb"})),
    (
        "belong to gcsFaultTolerance",
        lambda c: (
            c.update(gcsFaultToleranceOptions={"redisAddress": "redis:6379"}),
            c["headGroupSpec"]["rayStartParams"].update({"redis-password": "a"}),
        ),
    ),
    (
        "needs gcsFaultToleranceOptions",
        lambda c: c["headGroupSpec"]["template"]["spec"]["containers"][0].update(
            env=[{"name": "RAY_REDIS_ADDRESS", "value": "a"}]
        ),
    ),
    ("'Rolling' is not one of", lambda c: c.update(upgradeStrategy={"type": "Rolling"})),
]
POD: list[tuple[str, Change]] = [
    ("runAsUser -1 is less than 0", lambda p: p["securityContext"].update(runAsUser=-1)),
    ("runAsNonRoot, and runAsUser 0", lambda p: p["securityContext"].update(runAsUser=0)),
    ("'Sometimes' is not one of", lambda p: p.update(restartPolicy="Sometimes")),
    ("exactly one source", lambda p: p["volumes"][0].update(emptyDir={})),
    (
        "'1GB' does not match",
        lambda p: p["volumes"].append(
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1GB"}}
        ),
    ),
    (
        "'RAM' is not one of",
        lambda p: p["volumes"].append({"name": "shm", "emptyDir": {"medium": "RAM"}}),
    ),
    ("container 'ray-head': twice", lambda p: p["containers"].append(dict(p["containers"][0]))),
    ("tolerations[0].operator: 'Is' is", lambda p: p.update(tolerations=[{"operator": "Is"}])),
]
CONTAINER: list[tuple[str, Change]] = [
    ("periodSeconds 0 is less", lambda c: c.update(readinessProbe=probe(periodSeconds=0))),
    ("exactly one of exec", lambda c: c.update(readinessProbe=probe(exec={"command": ["a"]}))),
    ("successThreshold must be 1", lambda c: c.update(livenessProbe=probe(successThreshold=2))),
    ("'web' is not a port of", lambda c: c.update(livenessProbe={"httpGet": {"port": "web"}})),
    (
        "'FTP' is not one of",
        lambda c: c.update(livenessProbe={"httpGet": {"port": 1, "scheme": "FTP"}}),
    ),
    ("'periodSecond' was unexpected", lambda c: c.update(livenessProbe=probe(periodSecond=1))),
    ("no command", lambda c: c.update(lifecycle={"preStop": {"exec": {}}})),
    ("port '6379/TCP': twice", lambda c: c["ports"].append({"name": "a", "containerPort": 6379})),
    ("70000 is not a port", lambda c: c["ports"].append({"containerPort": 70000})),
    ("'cpus' is not a resource", lambda c: c["resources"]["limits"].update(cpus="1")),
    (
        "must be the same",
        lambda c: (
            c["resources"]["limits"].update({"nvidia.com/gpu": 2}),
            c["resources"]["requests"].update({"nvidia.com/gpu": 1}),
        ),
    ),
    ("'-1' is negative", lambda c: c["resources"]["requests"].update(cpu="-1")),
    ("is no volume of the pod", lambda c: c["volumeMounts"][0].update(name="run")),
    ("is not a place to mount", lambda c: c["volumeMounts"][0].update(mountPath="runs")),
    ("'Rayrank' is not an image", lambda c: c.update(image="Rayrank")),
    ("variable 'a b'", lambda c: c.update(env=[{"name": "a b", "value": "c"}])),
    (
        "exactly one source",
        lambda c: c.update(
            env=[
                {
                    "name": "a",
                    "value": "b",
                    "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}},
                }
            ]
        ),
    ),
]


def probe(**fields: Any) -> Object:
    return {"tcpSocket": {"port": "dashboard"}, **fields}


def refused(document: Object, says: str) -> None:
    found = faults(document)
    assert any(says in fault for fault in found), found


@needs_schemas
@pytest.mark.parametrize(("says", "change"), JOB, ids=[says for says, _ in JOB])
def test_job(manifests: list[Object], says: str, change: Change) -> None:
    document = find(manifests, "RayJob")
    change(document["spec"])
    refused(document, says)


@needs_schemas
@pytest.mark.parametrize(("says", "change"), SERVICE, ids=[says for says, _ in SERVICE])
def test_service(manifests: list[Object], says: str, change: Change) -> None:
    document = find(manifests, "RayService")
    change(document["spec"])
    refused(document, says)


@needs_schemas
@pytest.mark.parametrize(("says", "change"), CLUSTER, ids=[says for says, _ in CLUSTER])
def test_cluster(manifests: list[Object], says: str, change: Change) -> None:
    document = find(manifests, "RayCluster")
    change(cluster_of(document))
    refused(document, says)


@needs_schemas
@pytest.mark.parametrize(("says", "change"), POD, ids=[says for says, _ in POD])
def test_pod(manifests: list[Object], says: str, change: Change) -> None:
    document = find(manifests, "RayCluster")
    change(ray_pods(document)[0].spec)
    refused(document, says)


@needs_schemas
@pytest.mark.parametrize(("says", "change"), CONTAINER, ids=[says for says, _ in CONTAINER])
def test_container(manifests: list[Object], says: str, change: Change) -> None:
    document = find(manifests, "RayCluster")
    change(ray_pods(document)[0].containers[0])
    refused(document, says)
