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
            (pod,) = pods(document)
            found[name] = Peer(pod.labels)
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


class Network:
    """The policies, and who is selected by which: asked often, worked out once."""

    def __init__(self, documents: list[Object]) -> None:
        self._specs = [document["spec"] for document in of_kind(documents, "NetworkPolicy")]
        self._rules: dict[tuple[str, tuple[tuple[str, str], ...]], list[Object] | None] = {}

    def rules(self, direction: str, pod: Peer) -> list[Object] | None:
        """Of all policies that select it; None where none does, and all is open."""
        key = (direction, tuple(pod.labels.items()))
        if key not in self._rules:
            mine = [
                spec
                for spec in self._specs
                if direction in _types(spec) and selects(spec["podSelector"], pod.labels)
            ]
            opened = [rule for spec in mine for rule in spec.get(direction.lower(), [])]
            self._rules[key] = opened if mine else None
        return self._rules[key]

    def one_way(
        self, direction: str, pod: Peer, other: Peer, port: int, protocol: str = "TCP"
    ) -> bool:
        """Whether `pod`'s policies let it talk with `other` in this direction."""
        rules = self.rules(direction, pod) if pod.namespace == HERE else None
        if rules is None:
            return True
        peers = "from" if direction == "Ingress" else "to"
        return any(
            (not rule.get("ports") or any(_port_matches(p, port, protocol) for p in rule["ports"]))
            and (not rule.get(peers) or any(_peer_matches(peer, other) for peer in rule[peers]))
            for rule in rules
        )

    def open_way(self, source: Peer, target: Peer, port: int, protocol: str = "TCP") -> bool:
        """Whether `source` may connect to `target`: both ends' policies say so."""
        return self.one_way("Egress", source, target, port, protocol) and self.one_way(
            "Ingress", target, source, port, protocol
        )


def open_way(
    documents: list[Object], source: Peer, target: Peer, port: int, protocol: str = "TCP"
) -> bool:
    return Network(documents).open_way(source, target, port, protocol)
