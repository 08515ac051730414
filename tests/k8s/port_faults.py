"""Ports across pods, the Serve configuration, services, monitors and network policies."""

from collections.abc import Iterator
from typing import Any

from .network import HERE, PODS, Peer, component_of, open_way, our_peers, selects
from .objects import Object, cluster_of, of_kind, pods, ray_documents, title
from .reach_faults import OTHERS
from .serve_config import serve_config_of

# What KubeRay and Ray know these ports by; `serve` is the Serve configuration's.
RAY_PORTS = {
    "gcs-server": 6379,
    "dashboard": 8265,
    "client": 10001,
    "metrics": 8080,
    "as-metrics": 44217,
    "dash-metrics": 44227,
}
# The operator adds it where it is not said.
ADDED = {"metrics": RAY_PORTS["metrics"]}
OF_A_HEAD = ("gcs-server", "dashboard", "as-metrics", "dash-metrics")

Ports = dict[str, int]


def port_faults(documents: list[Object]) -> list[str]:
    found: list[str] = []
    for document in ray_documents(documents):
        found += [f"{title(document)}: {fault}" for fault in pod_port_faults(document)]
    known = declared(documents)
    return [
        *found,
        *policy_port_faults(documents, known),
        *service_port_faults(documents, known),
        *monitor_port_faults(documents, known),
    ]


def ports_of(template: Object) -> Ports:
    (pod,) = pods(template)
    listed = [port for container in pod.containers for port in container.get("ports", [])]
    return {p.get("name", str(p["containerPort"])): p["containerPort"] for p in listed}


def declared(documents: list[Object]) -> dict[str, tuple[Peer, Ports]]:
    """Of each kind of pod of ours: the pod, and its ports by name."""
    found = {}
    peers = our_peers(documents)
    for document in ray_documents(documents):
        component = component_of(document)
        cluster = cluster_of(document)
        for node, templates in (
            ("head", [cluster["headGroupSpec"]]),
            ("worker", cluster.get("workerGroupSpecs", [])),
        ):
            for template in templates:
                name = f"{component} {node}"
                found[name] = (peers[name], {**ADDED, **ports_of(template)})
    for kind, name in PODS:
        for document in of_kind(documents, kind):
            found[name] = (peers[name], ports_of(document["spec"]))
    return found


def pod_port_faults(document: Object) -> Iterator[str]:
    known = dict(RAY_PORTS)
    serves = document["kind"] == "RayService"
    if serves:
        known["serve"] = serve_config_of(document).get("http_options", {}).get("port", 8000)
    cluster = cluster_of(document)
    for template in [cluster["headGroupSpec"], *cluster.get("workerGroupSpecs", [])]:
        ports, name = ports_of(template), template.get("groupName", "head")
        wanted = (*(OF_A_HEAD if name == "head" else ()), *(("serve",) if serves else ()))
        for port in wanted:
            if port not in ports:
                yield f"{name}: no port {port!r}"
        for port, number in ports.items():
            if known.get(port) != number:
                yield f"{name}: port {port!r} is {known.get(port, 'not known')}, not {number}"


def policy_port_faults(
    documents: list[Object], known: dict[str, tuple[Peer, Ports]]
) -> Iterator[str]:
    """What a policy opens, somebody listens on."""
    for policy in of_kind(documents, "NetworkPolicy"):
        spec = policy["spec"]
        selected = [
            ports for peer, ports in known.values() if selects(spec["podSelector"], peer.labels)
        ]
        if not selected:
            yield f"{title(policy)}: selects no pod"
        listened = {number for ports in selected for number in ports.values()}
        for rule in spec.get("ingress", []):
            for port in rule.get("ports", []):
                if port["port"] not in listened:
                    yield f"{title(policy)}: opens {port['port']}, where nothing listens"


def service_port_faults(
    documents: list[Object], known: dict[str, tuple[Peer, Ports]]
) -> Iterator[str]:
    for service in of_kind(documents, "Service"):
        selector = {"matchLabels": service["spec"].get("selector", {})}
        selected = [ports for peer, ports in known.values() if selects(selector, peer.labels)]
        if not selector["matchLabels"] or len(selected) != 1:
            yield f"{title(service)}: selects {len(selected)} kinds of pods"
        for port in service["spec"].get("ports", []):
            wanted = port.get("targetPort", port["port"])
            if not any(_has(ports, wanted) for ports in selected):
                yield f"{title(service)}: port {wanted!r} is of no pod that it selects"


def monitor_port_faults(
    documents: list[Object], known: dict[str, tuple[Peer, Ports]]
) -> Iterator[str]:
    """A monitor's ports are its pods', and Prometheus may reach them."""
    for monitor in of_kind(documents, "PodMonitor"):
        selector = monitor["spec"]["selector"]
        selected = [pair for pair in known.values() if selects(selector, pair[0].labels)]
        if not selected:
            yield f"{title(monitor)}: selects no pod"
        for endpoint in monitor["spec"].get("podMetricsEndpoints", []):
            name = endpoint.get("port")
            having = [(peer, ports[name]) for peer, ports in selected if name in ports]
            if not having:
                yield f"{title(monitor)}: port {name!r} is of no pod that it selects"
            for peer, number in having:
                assert peer.namespace == HERE
                if not open_way(documents, OTHERS["Prometheus"], peer, number):
                    yield f"{title(monitor)}: Prometheus may not reach {name!r} ({number})"


def _has(ports: Ports, wanted: Any) -> bool:
    return wanted in ports or wanted in ports.values()
