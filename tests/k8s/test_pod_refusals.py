"""What an API server or a kubelet refuses of pods, of fields that are set or may yet be."""

from typing import Any

import pytest

from .objects import Object, find, ray_pods
from .test_manifests import needs_schemas
from .test_refusals import Change, refused


def spread(**fields: Any) -> Object:
    rule = {"topologyKey": "a", "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway"}
    return {**rule, "matchLabelKeys": ["a"], **fields}


def projected(source: Object) -> Object:
    return {"name": "extra", "projected": {"sources": [source]}}


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
    (
        "Exists has no value",
        lambda p: p.update(tolerations=[{"key": "a", "operator": "Exists", "value": "b"}]),
    ),
    ("its operator must be Exists", lambda p: p.update(tolerations=[{"value": "b"}])),
    ("are for NoExecute", lambda p: p.update(tolerations=[{"key": "a", "tolerationSeconds": 1}])),
    ("'No Name!' is not a label's value", lambda p: p.update(nodeSelector={"a": "No Name!"})),
    ("need a labelSelector", lambda p: p.update(topologySpreadConstraints=[spread()])),
    (
        "'a' is in the labelSelector, too",
        lambda p: p.update(
            topologySpreadConstraints=[spread(labelSelector={"matchLabels": {"a": "b"}})]
        ),
    ),
    (
        "maxSkew 0 is less",
        lambda p: p.update(topologySpreadConstraints=[spread(maxSkew=0, labelSelector={})]),
    ),
    (
        "a token for less than 600 s",
        lambda p: p["volumes"].append(
            projected({"serviceAccountToken": {"path": "a", "expirationSeconds": 60}})
        ),
    ),
    (
        "each item is one field",
        lambda p: p["volumes"].append(projected({"downwardAPI": {"items": [{"path": "a"}]}})),
    ),
    (
        "'../a' is no path",
        lambda p: p["volumes"].append(projected({"serviceAccountToken": {"path": "../a"}})),
    ),
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
    ("there is no variable 'NAME'", lambda c: c.update(command=["a", "$(NAME)"])),
    ("envFrom has exactly one source", lambda c: c.update(envFrom=[{"prefix": "a"}])),
    (
        "is no field of a pod",
        lambda c: c.update(
            env=[{"name": "a", "valueFrom": {"fieldRef": {"fieldPath": "metadata.nam"}}}]
        ),
    ),
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
