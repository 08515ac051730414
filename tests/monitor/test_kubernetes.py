"""k8s/monitoring as `kubectl apply -k` would send it, beside the base."""

import re
import shutil
import subprocess

import pytest
import ray
import yaml

from ..clusters import ROOT
from ..k8s.k8s_validation import faults
from ..k8s.objects import Object, of_kind
from ..k8s.port_faults import declared, monitor_port_faults
from ..k8s.test_manifests import needs_schemas

LABELS = {
    "app.kubernetes.io/name": "rayrank",
    "app.kubernetes.io/part-of": "rayrank",
    "app.kubernetes.io/component": "monitoring",
}


def rendered(folder: str) -> list[Object]:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed: the manifests cannot be rendered")
    command = ["kubectl", "kustomize", str(ROOT / "k8s" / folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


@pytest.fixture(scope="module")
def monitoring() -> list[Object]:
    return rendered("monitoring")


@needs_schemas
def test_an_api_server_takes_them(monitoring: list[Object]) -> None:
    assert [fault for document in monitoring for fault in faults(document)] == []


@needs_schemas
def test_prometheus_reaches_what_it_is_sent_to(monitoring: list[Object]) -> None:
    everything = [*rendered("base"), *monitoring]
    assert list(monitor_port_faults(everything, declared(everything))) == []


def test_they_are_labelled_and_in_no_namespace(monitoring: list[Object]) -> None:
    for document in monitoring:
        metadata = document["metadata"]
        more = {"grafana_dashboard": "1"} if document["kind"] == "ConfigMap" else {}
        assert metadata["labels"] == LABELS | more
        assert "namespace" not in metadata


def test_a_gauge_that_is_set_once_is_scraped(monitoring: list[Object]) -> None:
    """Ray's exporter shows it for two of its report's intervals after its process has ended."""
    shown_s = 2 * ray._config.metrics_report_interval_ms() / 1000
    monitors = of_kind(monitoring, "PodMonitor")
    assert len(monitors) == 2
    for monitor in monitors:
        for endpoint in monitor["spec"]["podMetricsEndpoints"]:
            seconds = int(re.fullmatch(r"(\d+)s", endpoint["interval"])[1])  # type: ignore[index]
            assert 2 * seconds <= shown_s
