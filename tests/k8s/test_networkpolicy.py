"""Who may talk to whom, worked out from the policies as a network plugin would."""

from typing import NamedTuple

import pytest

from .k8s_validation import Object


class Peer(NamedTuple):
    labels: dict[str, str]
    namespace: str = "rayrank"


def rayrank(component: str, node: str = "worker") -> Peer:
    labels = {
        "app.kubernetes.io/part-of": "rayrank",
        "app.kubernetes.io/component": component,
        "ray.io/node-type": node,
    }
    return Peer(labels)


STRANGER = Peer({"app": "shop"})
FAR_STRANGER = Peer({"app": "shop"}, namespace="shop")
OPERATOR = Peer({"app.kubernetes.io/component": "kuberay-operator"}, namespace="kuberay-system")
FALSE_OPERATOR = Peer({"app.kubernetes.io/component": "kuberay-operator"}, namespace="shop")
DNS = Peer({"k8s-app": "kube-dns"}, namespace="kube-system")


def selects(selector: Object, labels: dict[str, str]) -> bool:
    assert set(selector) <= {"matchLabels"}, "this model knows matchLabels alone"
    return selector.get("matchLabels", {}).items() <= labels.items()


def peer_matches(rule: Object, peer: Peer) -> bool:
    if "namespaceSelector" in rule:
        here = selects(rule["namespaceSelector"], {"kubernetes.io/metadata.name": peer.namespace})
    else:
        here = peer.namespace == "rayrank"
    return here and selects(rule.get("podSelector", {}), peer.labels)


def open_way(policies: list[Object], direction: str, pod: Peer, other: Peer, port: int) -> bool:
    """Whether `pod`'s policies let it talk with `other` in this direction, on this TCP port."""
    mine = [
        spec
        for spec in policies
        if direction in spec["policyTypes"] and selects(spec["podSelector"], pod.labels)
    ]
    if pod.namespace != "rayrank" or not mine:
        return True
    key, peers = ("ingress", "from") if direction == "Ingress" else ("egress", "to")
    return any(
        (peers not in rule or any(peer_matches(peer, other) for peer in rule[peers]))
        and ("ports" not in rule or {"port": port, "protocol": "TCP"} in rule["ports"])
        for spec in mine
        for rule in spec.get(key, [])
    )


HEAD, SERVING = rayrank("training", "head"), rayrank("serving")
WORKBENCH = rayrank("workbench", "head")

ALLOWED = [
    (rayrank("training"), HEAD, 6379),
    (rayrank("training"), HEAD, 8265),
    (HEAD, rayrank("training"), 31234),
    (rayrank("workbench"), WORKBENCH, 6379),
    (rayrank("serving", "head"), SERVING, 8000),
    (OPERATOR, HEAD, 8265),
    (OPERATOR, rayrank("serving", "head"), 8265),
    (OPERATOR, rayrank("serving", "head"), 8000),
    (STRANGER, SERVING, 8000),
    (FAR_STRANGER, SERVING, 8000),
    (SERVING, DNS, 53),
]
REFUSED = [
    (STRANGER, HEAD, 8265),
    (STRANGER, HEAD, 6379),
    (STRANGER, rayrank("serving", "head"), 8265),
    (STRANGER, SERVING, 6379),
    (STRANGER, HEAD, 8000),
    (FALSE_OPERATOR, HEAD, 8265),
    (OPERATOR, HEAD, 6379),
    (SERVING, HEAD, 8265),
    (SERVING, WORKBENCH, 6379),
    (WORKBENCH, HEAD, 6379),
    (SERVING, FAR_STRANGER, 443),
    (rayrank("training"), SERVING, 8265),
    (rayrank("another"), HEAD, 8265),
    (STRANGER, rayrank("another"), 8265),
    (rayrank("another"), FAR_STRANGER, 443),
]


@pytest.mark.parametrize(
    ("source", "target", "port", "expected"),
    [(*case, True) for case in ALLOWED] + [(*case, False) for case in REFUSED],
)
def test_connection(
    manifests: list[Object], source: Peer, target: Peer, port: int, expected: bool
) -> None:
    policies = [m["spec"] for m in manifests if m["kind"] == "NetworkPolicy"]
    out = open_way(policies, "Egress", source, target, port)
    into = open_way(policies, "Ingress", target, source, port)
    assert (out and into) is expected, f"egress {out}, ingress {into}"
