"""Monitors and further services, which no overlay has: their ports are checked too."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from .checks import caught
from .objects import Object
from .render import K8S, kustomize
from .test_manifests import needs_schemas

MONITOR: Object = {
    "apiVersion": "monitoring.coreos.com/v1",
    "kind": "PodMonitor",
    "metadata": {"name": "rayrank", "labels": {}},
    "spec": {
        "selector": {"matchLabels": {"ray.io/node-type": "head"}},
        "podMetricsEndpoints": [{"port": p} for p in ("metrics", "as-metrics", "dash-metrics")],
    },
}


def asks(spec: Object, port: str) -> None:
    spec["podMetricsEndpoints"][0].update(port=port)


SERVICE: Object = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "rayrank", "labels": {}},
    "spec": {
        "selector": {"app.kubernetes.io/component": "serving", "ray.io/node-type": "worker"},
        "ports": [{"name": "http", "port": 80, "targetPort": "serve"}],
    },
}


@needs_schemas
@pytest.mark.parametrize(
    ("extra", "change", "check", "says"),
    [
        (MONITOR, lambda s: None, "", ""),
        (SERVICE, lambda s: None, "", ""),
        (MONITOR, lambda s: s["podMetricsEndpoints"][0].update(port="metric"), "ports", "'metric'"),
        (
            MONITOR,
            lambda s: s["podMetricsEndpoints"][0].update(port="dashboard"),
            "ports",
            "may not",
        ),
        (MONITOR, lambda s: s.update(selector={"matchLabels": {"a": "b"}}), "ports", "no pod"),
        (MONITOR, lambda s: s.update(podMetricsEndpoint=[]), "server", "unexpected"),
        (SERVICE, lambda s: s["ports"][0].update(targetPort="served"), "ports", "'served'"),
        (SERVICE, lambda s: s["selector"].update(a="b"), "ports", "selects 0 kinds"),
        (SERVICE, lambda s: s["selector"].popitem(), "ports", "selects 2 kinds"),
        (SERVICE, lambda s: s["ports"][0].update(port=80000), "server", "80000 is not a port"),
    ],
)
def test_monitors_and_services(
    manifests: list[Object], extra: Object, change: Callable[[Object], Any], check: str, says: str
) -> None:
    extra = copy.deepcopy(extra)
    change(extra["spec"])
    found = caught([*manifests, extra], [extra])
    # Labels are for those that will be there.
    found.pop("house", None)
    assert list(found) == [check] * bool(check)
    assert not check or any(says in fault for fault in found[check]), found


@needs_schemas
def test_our_monitoring(overlay: list[Object]) -> None:
    """Beside each overlay: its monitors' ports are its pods', and Prometheus may reach them."""
    monitoring = kustomize(K8S / "monitoring")
    assert {"PodMonitor", "PrometheusRule", "ConfigMap"} <= {d["kind"] for d in monitoring}
    assert caught([*overlay, *monitoring], monitoring) == {}
