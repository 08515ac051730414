"""The rendered base is accepted, and says what it is meant to say."""

import difflib
import importlib.metadata
import shlex
import tomllib
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from .k8s_validation import SCHEMAS, faults
from .objects import RAY_KINDS, ROOT, Object, Pod, cluster_of, find, pods, ray_pods

needs_schemas = pytest.mark.skipif(
    not SCHEMAS.is_dir(), reason=f"{SCHEMAS} is absent: custom resources cannot be validated"
)
JOB_FILES = ["jobs/pipeline.py", "jobs/cluster.yaml"]
API_KEY = {
    "name": "RAYRANK_API_KEY",
    "valueFrom": {"secretKeyRef": {"name": "rayrank-api-key", "key": "api-key"}},
}


@pytest.fixture
def all_pods(manifests: list[Object]) -> list[Pod]:
    found = [pod for document in manifests for pod in pods(document, document["kind"])]
    # Head and worker of three clusters, and the job's submitter.
    assert len(found) == 7
    return found


# The validator


@needs_schemas
def test_base_is_valid(manifests: list[Object]) -> None:
    found = {f"{m['kind']}/{m['metadata']['name']}": faults(m) for m in manifests}
    assert set(RAY_KINDS) <= {m["kind"] for m in manifests}
    assert not {name: lines for name, lines in found.items() if lines}


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


# The pods


def test_pods_are_confined(all_pods: list[Pod]) -> None:
    for pod in all_pods:
        context = pod.spec["securityContext"]
        assert context["runAsNonRoot"] is True, pod.where
        assert (context["runAsUser"], context["runAsGroup"]) == (10001, 10001), pod.where
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, pod.where
        assert pod.spec["automountServiceAccountToken"] is False, pod.where
        for container in pod.containers:
            # Exactly this: nothing in it takes back what the pod's context says.
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            }, pod.where


def test_containers_have_requests_and_limits(all_pods: list[Pod]) -> None:
    for pod in all_pods:
        for container in pod.containers:
            for bound in ("requests", "limits"):
                assert {"cpu", "memory"} <= set(container["resources"][bound]), pod.where


def test_one_image_of_this_version(all_pods: list[Pod]) -> None:
    project = ROOT / "pyproject.toml"
    assert project.is_file(), f"{project} is missing: it holds the version the image is tagged with"
    version = tomllib.loads(project.read_text())["project"]["version"]
    assert {c["image"] for pod in all_pods for c in pod.containers} == {f"rayrank:{version}"}


def test_pod_labels(manifests: list[Object]) -> None:
    for kind in RAY_KINDS:
        document = find(manifests, kind)
        component = document["metadata"]["labels"]["app.kubernetes.io/component"]
        for pod in pods(document, kind):
            # No app.kubernetes.io/name: KubeRay's head Service selects its own value of it.
            assert pod.labels == {
                "app.kubernetes.io/part-of": "rayrank",
                "app.kubernetes.io/component": component,
            }, pod.where


def test_objects_apply_in_groups(manifests: list[Object]) -> None:
    """README.md applies them by component, the platform first."""
    groups: dict[str, set[str]] = {}
    for document in manifests:
        component = document["metadata"]["labels"]["app.kubernetes.io/component"]
        groups.setdefault(component, set()).add(document["kind"])
        assert "namespace" not in document["metadata"]
    assert groups == {
        "platform": {"ServiceAccount", "PersistentVolumeClaim", "NetworkPolicy"},
        "training": {"RayJob"},
        "serving": {"RayService"},
        "workbench": {"RayCluster"},
    }


def test_runs_are_shared(manifests: list[Object]) -> None:
    claim = find(manifests, "PersistentVolumeClaim")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    for kind in RAY_KINDS:
        for pod in ray_pods(find(manifests, kind)):
            claims = {
                v["name"]: v["persistentVolumeClaim"]["claimName"] for v in pod.spec["volumes"]
            }
            for container in pod.containers:
                (mount,) = container["volumeMounts"]
                assert claims[mount["name"]] == claim["metadata"]["name"], pod.where
                assert mount["mountPath"] == "/runs", pod.where
                assert mount.get("readOnly", False) is (kind == "RayService"), pod.where


# Ray


@pytest.mark.parametrize("kind", RAY_KINDS)
def test_ray_clusters(manifests: list[Object], kind: str) -> None:
    cluster = cluster_of(find(manifests, kind))
    assert cluster["rayVersion"] == importlib.metadata.version("ray")
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


def test_job_entrypoint(manifests: list[Object]) -> None:
    entrypoint = shlex.split(find(manifests, "RayJob")["spec"]["entrypoint"])
    assert entrypoint == ["python", *JOB_FILES[:1], "--config", *JOB_FILES[1:], "--new"]


@pytest.mark.parametrize("file", JOB_FILES)
def test_job_files_exist(file: str) -> None:
    assert (ROOT / file).is_file(), f"the RayJob runs {file}, which the repository does not have"


def test_the_job_has_the_key_it_serves_with(manifests: list[Object]) -> None:
    for pod in ray_pods(find(manifests, "RayJob")):
        (container,) = pod.containers
        assert container["env"] == [API_KEY], pod.where


def test_service_port_key_and_draining(manifests: list[Object]) -> None:
    head, workers = ray_pods(find(manifests, "RayService"))
    for pod in (head, workers):
        (container,) = pod.containers
        # KubeRay makes the Service from the port of this name.
        assert {"name": "serve", "containerPort": 8000} in container["ports"], pod.where
        assert container["env"] == [API_KEY], pod.where
    command, seconds = workers.containers[0]["lifecycle"]["preStop"]["exec"]["command"]
    assert command == "sleep"
    # What Ray has left for stopping, after that.
    assert workers.spec["terminationGracePeriodSeconds"] - int(seconds) >= 30


def test_serve_config_is_the_repositorys(manifests: list[Object]) -> None:
    file = ROOT / "serve_apps" / "ranking.yaml"
    assert file.is_file(), f"{file} is missing: rayservice.yaml must hold the same text"
    ours, theirs = (
        yaml.safe_dump(yaml.safe_load(text)).splitlines()
        for text in (file.read_text(), find(manifests, "RayService")["spec"]["serveConfigV2"])
    )
    difference = difflib.unified_diff(
        ours, theirs, "serve_apps/ranking.yaml", "rayservice.yaml: serveConfigV2", lineterm=""
    )
    assert ours == theirs, "\n".join(["they differ; make them the same:", *difference])
