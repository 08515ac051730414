"""What the operator refuses, of fields that are set and of fields that may yet be."""

from collections.abc import Callable
from typing import Any

import pytest

from .k8s_validation import faults
from .objects import Object, cluster_of, find
from .test_manifests import document_of, needs_schemas

Change = Callable[[Object], Any]


def rules(spec: Object) -> list[Object]:
    found: list[Object] = spec["deletionStrategy"]["deletionRules"]
    return found


def ends(spec: Object, position: int) -> Object:
    found: Object = rules(spec)[position]["condition"]
    return found


def head(cluster: Object) -> Object:
    found: Object = cluster["headGroupSpec"]["template"]["spec"]["containers"][0]
    return found


def variable(name: str, value: str = "1") -> Object:
    return {"name": name, "value": value}


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
    ("rules not with shutdownAfter", lambda s: s.update(shutdownAfterJobFinishes=True)),
    ("DeleteCluster at SUCCEEDED: twice", lambda s: rules(s).append(dict(rules(s)[0]))),
    ("DeleteSelf at SUCCEEDED: before DeleteCluster", lambda s: ends(s, 1).update(ttlSeconds=5)),
    ("DeleteCluster at Failed: before DeleteWork", lambda s: ends(s, 2).update(ttlSeconds=10**6)),
    ("-1 is less than the minimum of 0", lambda s: ends(s, 0).update(ttlSeconds=-1)),
    (
        "DeleteWorkers: not with the autoscaler",
        lambda s: s["rayClusterSpec"].update(enableInTreeAutoscaling=True),
    ),
    (
        "DeleteCluster: not with clusterSelector",
        lambda s: s.update(clusterSelector={"ray.io/cluster": "a"}, backoffLimit=0),
    ),
    ("cannot be used together", lambda s: ends(s, 0).update(jobDeploymentStatus="Failed")),
]


def upgrade(spec: Object, **options: Any) -> Object:
    known = {"stepSizePercent": 10, "intervalSeconds": 5, "gatewayClassName": "istio"}
    spec["upgradeStrategy"] = {
        "type": "NewClusterWithIncrementalUpgrade",
        "clusterUpgradeOptions": {**known, **options},
    }
    return spec


SERVICE: list[tuple[str, Change]] = [
    (
        "needs clusterUpgradeOptions",
        lambda s: s.update(upgradeStrategy={"type": "NewClusterWithIncrementalUpgrade"}),
    ),
    (
        "needs the autoscaler",
        lambda s: (upgrade(s), s["rayClusterConfig"].update(enableInTreeAutoscaling=False)),
    ),
    ("stepSizePercent: 0 to max", lambda s: upgrade(s, stepSizePercent=60, maxSurgePercent=50)),
    ("maxSurgePercent: 0 to 100", lambda s: upgrade(s, maxSurgePercent=110)),
    ("intervalSeconds: more than 0", lambda s: upgrade(s, intervalSeconds=0)),
    ("gatewayClassName: needed", lambda s: upgrade(s, gatewayClassName="")),
    ("its type is unknown", lambda s: s.update(upgradeStrategy={"type": "Sudden"})),
    ("its type is unknown", lambda s: s.update(upgradeStrategy={"type": "Rolling"})),
]
V2 = "RAY_enable_autoscaler_v2"


def scaled(cluster: Object, **options: Any) -> Object:
    cluster.update(enableInTreeAutoscaling=True, autoscalerOptions={"version": "v2", **options})
    return cluster


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
    ("RAY_enable_autoscaler_v2: needs", lambda c: head(c).update(env=[variable(V2)])),
    (
        "RAY_enable_autoscaler_v2: and autoscalerOptions.version",
        lambda c: (scaled(c), head(c).update(env=[variable(V2)])),
    ),
    (
        "KUBERAY_GEN_AUTOSCALER_START_CMD is the operator's",
        lambda c: scaled(c, env=[variable("KUBERAY_GEN_AUTOSCALER_START_CMD")]),
    ),
    ("idleTimeoutSeconds: negative", lambda c: scaled(c, idleTimeoutSeconds=-1)),
    (
        "idleTimeoutSeconds: needs autoscaler v2",
        lambda c: (scaled(c, version="v1"), c["workerGroupSpecs"][0].update(idleTimeoutSeconds=5)),
    ),
    ("priority: needs autoscaler v2", lambda c: c["workerGroupSpecs"][0].update(priority=1)),
    (
        "suspend: not with the autoscaler",
        lambda c: (scaled(c), c["workerGroupSpecs"][0].update(suspend=True)),
    ),
    (
        "storage: for rocksdb alone",
        lambda c: c.update(gcsFaultToleranceOptions={"storage": {"claimName": "a"}}),
    ),
    (
        "Redis address and password belong",
        lambda c: (
            c.update(gcsFaultToleranceOptions={"redisAddress": "redis:6379"}),
            head(c).update(env=[variable("REDIS_PASSWORD")]),
        ),
    ),
    ("Redis user belongs", lambda c: head(c).update(env=[variable("REDIS_USERNAME")])),
    ("'Rolling' is not one of", lambda c: c.update(upgradeStrategy={"type": "Rolling"})),
]


def refused(document: Object, says: str) -> None:
    found = faults(document)
    assert any(says in fault for fault in found), found


@needs_schemas
@pytest.mark.parametrize(("says", "change"), JOB, ids=[says for says, _ in JOB])
def test_job(manifests: list[Object], says: str, change: Change) -> None:
    document = document_of(manifests, "RayJob")
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
