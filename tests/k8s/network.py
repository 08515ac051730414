"""Who may talk to whom, worked out from the policies as a network plugin would."""

import ipaddress
from functools import cache
from typing import Any, NamedTuple

from .objects import Object, cluster_of, job_of, of_kind, pods, ray_documents

HERE = "rayrank"  # The namespace of ours.
# Pods of ours that are not of Ray.
PODS = (("CronJob", "schedule"), ("StatefulSet", "Redis"))
MONITORING = "prometheus-system"  # As KubeRay's own install/prometheus has it.


class Peer(NamedTuple):
    """A pod, or with an address alone what is outside of the cluster."""

    labels: dict[str, str]
    namespace: str = HERE
    address: str = "10.1.2.3"


def rayrank(component: str, node: str = "worker") -> Peer:
    labels = {
        "app.kubernetes.io/part-of": "rayrank",
        "app.kubernetes.io/component": component,
        "ray.io/node-type": node,
    }
    return Peer(labels)


def component_of(document: Object) -> str:
    labels: dict[str, str] = document["metadata"].get("labels", {})
    return labels.get("app.kubernetes.io/component", "none")


def our_peers(documents: list[Object]) -> dict[str, Peer]:
    """Our pods as rendered, with the label that the operator adds: `serving head` and the like."""
    found = {}
    for document in ray_documents(documents):
        component = component_of(document)
        cluster = cluster_of(document)
        for node, part in (("head", "headGroupSpec"), ("worker", "workerGroupSpecs")):
            for pod in pods(cluster.get(part, [])):
                labels = {**pod.labels, "ray.io/node-type": node}
                found[f"{component} {node}"] = Peer(labels)
        if document["kind"] == "RayCronJob":
            for pod in pods(job_of(document).get("submitterPodTemplate", {}), ""):
                found[f"{component} submitter"] = Peer(pod.labels)
    for kind, name in PODS:
        for document in of_kind(documents, kind):
            found |= {name: Peer(pod.labels) for pod in pods(document)}
    return found


def selects(selector: Object, labels: dict[str, str]) -> bool:
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        _expression(rule, labels) for rule in selector.get("matchExpressions", [])
    )


def _expression(rule: Object, labels: dict[str, str]) -> bool:
    value, values = labels.get(rule["key"]), rule.get("values", [])
    known = {
        "Exists": value is not None,
        "DoesNotExist": value is None,
        "In": value in values,
        "NotIn": value not in values,
    }
    return known[rule["operator"]]


@cache
def _address(text: str) -> Any:
    return ipaddress.ip_address(text)


@cache
def _block(text: str) -> Any:
    return ipaddress.ip_network(text)


def _peer_matches(rule: Object, peer: Peer) -> bool:
    if "ipBlock" in rule:
        address, block = _address(peer.address), rule["ipBlock"]
        return address in _block(block["cidr"]) and not any(
            address in _block(part) for part in block.get("except", [])
        )
    if not peer.namespace:
        return False
    if "namespaceSelector" in rule:
        here = selects(rule["namespaceSelector"], {"kubernetes.io/metadata.name": peer.namespace})
    else:
        here = peer.namespace == HERE
    return here and selects(rule.get("podSelector", {}), peer.labels)


def _port_matches(rule: Object, port: int, protocol: str) -> bool:
    first = rule.get("port", port)
    assert isinstance(first, int), "this model does not know the names of ports"
    return first <= port <= rule.get("endPort", first) and rule.get("protocol", "TCP") == protocol


def _types(spec: Object) -> list[str]:
    """What an API server fills in where nothing is said."""
    default = ["Ingress", "Egress"] if "egress" in spec else ["Ingress"]
    types: list[str] = spec.get("policyTypes", default)
    return types


def one_way(
    documents: list[Object],
    direction: str,
    pod: Peer,
    other: Peer,
    port: int,
    protocol: str = "TCP",
) -> bool:
    """Whether `pod`'s policies let it talk with `other` in this direction."""
    mine = [
        spec
        for spec in (document["spec"] for document in of_kind(documents, "NetworkPolicy"))
        if direction in _types(spec) and selects(spec["podSelector"], pod.labels)
    ]
    if pod.namespace != HERE or not mine:
        return True
    key, peers = ("ingress", "from") if direction == "Ingress" else ("egress", "to")
    return any(
        (not rule.get(peers) or any(_peer_matches(peer, other) for peer in rule[peers]))
        and (not rule.get("ports") or any(_port_matches(p, port, protocol) for p in rule["ports"]))
        for spec in mine
        for rule in spec.get(key, [])
    )


def open_way(
    documents: list[Object], source: Peer, target: Peer, port: int, protocol: str = "TCP"
) -> bool:
    """Whether `source` may connect to `target`: its own policies say so, and the target's do."""
    return one_way(documents, "Egress", source, target, port, protocol) and one_way(
        documents, "Ingress", target, source, port, protocol
    )
