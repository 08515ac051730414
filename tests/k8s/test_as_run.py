"""What is put into the manifests before they are looked at is what the operator would put there."""

import pytest

from .as_run import AUTOSCALER, as_run, run_pods
from .cron import schedule_faults
from .kueue_faults import QUEUE
from .made_jobs import MINUTES, made_job
from .objects import Object, cluster_of, find
from .ray_groups import GPU, needs
from .render import rendered
from .settings import environment, variables


def test_the_autoscaler_is_a_container_of_the_head(manifests: list[Object]) -> None:
    service = find(manifests, "RayService")
    head, *_ = run_pods(service)
    ray, autoscaler = head.spec["containers"]
    assert (autoscaler["name"], autoscaler["image"]) == (AUTOSCALER, ray["image"])
    # The manifest itself is as it was.
    assert len(cluster_of(service)["headGroupSpec"]["template"]["spec"]["containers"]) == 1


def test_kuberays_bounds_where_none_are_said(manifests: list[Object]) -> None:
    service = find(manifests, "RayService")
    del cluster_of(service)["autoscalerOptions"]
    _, autoscaler = run_pods(service)[0].spec["containers"]
    assert autoscaler["resources"]["limits"] == {"cpu": "500m", "memory": "512Mi"}


def test_a_cluster_without_one_is_as_it_is(manifests: list[Object]) -> None:
    cluster = find(manifests, "RayCluster")
    assert as_run(cluster) is cluster


def test_a_claim_for_each_pod_of_a_stateful_set(manifests: list[Object]) -> None:
    (pod,) = run_pods(find(manifests, "StatefulSet"))
    assert pod.volumes["data"] == {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}


def test_rayjobs_have_the_templates_labels() -> None:
    template = find(rendered("gpu", "", ("kueue",)), "RayCronJob")
    job = made_job(template)
    assert job["metadata"]["name"] == f"rayrank-daily-{MINUTES}-run"
    assert job["metadata"]["labels"][QUEUE] == "rayrank"
    # KubeRay's own have not.
    template["spec"]["suspend"] = False
    assert made_job(template)["metadata"]["labels"] == {"ray.io/cronjob-name": "rayrank-daily"}


def test_needs(overlay: list[Object]) -> None:
    service = find(overlay, "RayService")
    gpus = needs(service)[GPU]
    # The third pod counts, which stands while replicas are exchanged.
    assert gpus in (0, 3)
    before = needs(service)["cpu"]
    cluster_of(service)["workerGroupSpecs"][0]["maxReplicas"] = 2
    assert needs(service)["cpu"] < before


def test_variables_of_a_container() -> None:
    documents = [{"kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"A": "1", "B": "2"}}]
    container = {
        "envFrom": [{"configMapRef": {"name": "a"}}],
        "env": [{"name": "B", "value": "3"}, {"name": "C", "valueFrom": {}}],
    }
    assert variables(container, documents) == {"A": "1", "B": "3"}


def test_the_environment_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    import os  # noqa: PLC0415

    monkeypatch.setenv("RAYRANK_RUNS", "mine")
    with environment({"A_NAME": "1"}):
        assert "RAYRANK_RUNS" not in os.environ
    assert os.environ["RAYRANK_RUNS"] == "mine"
    assert "A_NAME" not in os.environ


@pytest.mark.parametrize(
    "text", ["30 2 * * *", "*/15 0-6 1,15 * 0", "0 0 31 12 7", "0 */2 * * 1-5"]
)
def test_schedule(text: str) -> None:
    assert schedule_faults({"schedule": text, "timeZone": "UTC"}) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "daily",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 8",
        "5-2 * * * *",
        "*/0 * * * *",
        "* * * *",
        "* * * * * *",
        "CRON_TZ=UTC 0 0 * * *",
        "a * * * *",
        "1-2-3 * * * *",
    ],
)
def test_no_schedule(text: str) -> None:
    assert schedule_faults({"schedule": text})
