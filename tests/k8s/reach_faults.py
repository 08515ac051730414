"""Which connections must be open, and which must not: a table, and what the policies make of it."""

from collections.abc import Iterator

from .network import HERE, MONITORING, Network, Peer, our_peers, rayrank
from .objects import Object, of_kind

SHOP = {"app": "shop"}
KUBERAY = {"app.kubernetes.io/component": "kuberay-operator"}
PROMETHEUS = {"app.kubernetes.io/name": "prometheus"}
GRAFANA = {"app.kubernetes.io/name": "grafana"}
REDIS = {"app.kubernetes.io/component": "redis"}

PART_OF = "app.kubernetes.io/part-of"
COMPONENT = "app.kubernetes.io/component"
CLUSTERS = ("training", "serving", "workbench")
# They ask the Kubernetes API, whose address policies do not know: all but the cloud's metadata is
# open to them on its two usual ports, other pods and hosts included.
ASKING, API_PORTS = ("serving head", "schedule"), (443, 6443)
WITHIN = ("10.1.2.3", "100.64.1.1", "172.20.1.1", "192.168.1.1", "fd00::1", "fe80::1")

OTHERS = {
    "neighbour": Peer(SHOP),
    "stranger": Peer(SHOP, "shop"),
    "operator": Peer(KUBERAY, "kuberay-system"),
    "false operator": Peer(KUBERAY, "shop"),
    "Prometheus": Peer(PROMETHEUS, MONITORING),
    "false Prometheus": Peer(PROMETHEUS, "shop"),
    "Grafana": Peer(GRAFANA, MONITORING),
    "false Grafana": Peer(GRAFANA, "shop"),
    "another's Redis": Peer(REDIS),
    "false Redis": Peer({**REDIS, PART_OF: "rayrank"}, "shop"),
    "DNS": Peer({"k8s-app": "kube-dns"}, "kube-system"),
    "store": Peer({}, "", "52.216.1.1"),
    "store over IPv6": Peer({}, "", "2600:1fa0:8000::1"),
    "API server": Peer({}, "", "172.18.0.2"),
    "API server outside": Peer({}, "", "34.1.2.3"),
    **{f"{address} within": Peer({}, "", address) for address in WITHIN},
    "cloud's metadata": Peer({}, "", "169.254.169.254"),
    **{f"namesake of {name}": Peer({COMPONENT: name}) for name in CLUSTERS},
    "namesake of serving's head": Peer({COMPONENT: "serving", "ray.io/node-type": "head"}),
    "another of ours": rayrank("another"),
    "a new pod of ours": Peer({PART_OF: "rayrank"}),
    "redis-cleanup": rayrank("serving", "redis-cleanup"),
}

_HEADS = [f"{cluster} head" for cluster in CLUSTERS]
_WORKERS = [f"{cluster} worker" for cluster in CLUSTERS]
_NODES = [*_HEADS, *_WORKERS]
_BESIDE = ["training submitter", "schedule", "Redis"]
_SHUT_OFF = [pod for pod in [*_NODES, *_BESIDE] if pod not in ASKING]

OPEN: list[tuple[str, str, int]] = [
    # Within each cluster, on any port.
    *((f"{node.split()[0]} worker", node, port) for node in _NODES for port in (6379, 31234)),
    *((f"{node.split()[0]} head", node, port) for node in _NODES for port in (6379, 31234)),
    ("training submitter", "training head", 8265),
    *(("operator", head, port) for head in _HEADS for port in (8265, 8000)),
    *((source, "serving worker", 8000) for source in ("neighbour", "stranger")),
    *(("Prometheus", node, 8080) for node in _NODES),
    *(("Prometheus", head, port) for head in _HEADS for port in (44217, 44227)),
    *((head, "Grafana", 3000) for head in _HEADS),
    *((head, "Prometheus", 9090) for head in _HEADS),
    ("serving head", "Redis", 6379),
    ("redis-cleanup", "Redis", 6379),
    *(
        (source, to, port)
        for source in ASKING
        for to in ("API server", "API server outside", "stranger", "store", "store over IPv6")
        for port in API_PORTS
    ),
    *((source, f"{address} within", 443) for source in ASKING for address in WITHIN[:-1]),
    *((node, store, 443) for node in _NODES for store in ("store", "store over IPv6")),
    *((pod, "DNS", 53) for pod in [*_NODES, *_BESIDE, "redis-cleanup"]),
]

_KEEPERS = ("serving head", "redis-cleanup")
_FALSE = [name for name in OTHERS if name.startswith(("false", "namesake"))]
_OUTSIDERS = ["neighbour", "stranger", "Redis", "another's Redis", "schedule", *_FALSE]
_INSIDE = ["cloud's metadata", "stranger", "operator", *(n for n in OTHERS if n.endswith("within"))]
SHUT: list[tuple[str, str, int]] = [
    *((source, node, 31234) for source in _OUTSIDERS for node in _NODES),
    *((source, head, port) for source in _OUTSIDERS for head in _HEADS for port in (8265, 6379)),
    *((source, node, 8080) for source in _OUTSIDERS for node in _NODES),
    *((source, head, port) for source in _OUTSIDERS for head in _HEADS for port in (44217, 44227)),
    *((source, f"{of} head", 8000) for source in _OUTSIDERS for of in ("training", "workbench")),
    *(("operator", node, port) for node in _NODES for port in (6379, 8080, 44227)),
    *(("operator", node, 8265) for node in _WORKERS),
    *(("Prometheus", node, port) for node in _NODES for port in (6379, 8265, 31234)),
    *(("Prometheus", node, port) for node in _WORKERS for port in (44217, 44227)),
    ("Prometheus", "training submitter", 8080),
    *(("Grafana", node, port) for node in _NODES for port in (8080, 8265, 3000)),
    # Each cluster is an island.
    *(
        (source, target, port)
        for source in [*_NODES, "training submitter", "another of ours"]
        for target in _NODES
        for port in (8265, 6379, 8080, 44227)
        if source.split()[0] != target.split()[0]
    ),
    # Who may go out, where to.
    *((node, "Grafana", port) for node in _HEADS for port in (80, 9090)),
    *((node, "Grafana", 443) for node in _HEADS if node not in ASKING),
    *((node, "Prometheus", 443) for node in _HEADS if node not in ASKING),
    *((node, "false Grafana", 3000) for node in _NODES),
    *((node, "false Prometheus", 9090) for node in _NODES),
    *((node, "Grafana", 3000) for node in _WORKERS),
    *((node, "Prometheus", 9090) for node in _WORKERS),
    # Redis: the serving cluster's head, and who clears up behind it.
    *((pod, "Redis", 6379) for pod in [*_NODES, *_BESIDE[:2], *_OUTSIDERS] if pod not in _KEEPERS),
    *((pod, to, 6379) for pod in _KEEPERS for to in ("false Redis", "another's Redis")),
    *((pod, "Redis", port) for pod in _KEEPERS for port in (26379, 80)),
    *((source, "Redis", 6379) for source in ("operator", "Prometheus", "another of ours")),
    *(("Redis", to, port) for to in ("stranger", "store", "serving head") for port in (443, 6379)),
    # The Kubernetes API: nobody but those two; and they nothing else.
    *(
        (pod, server, port)
        for pod in [*_SHUT_OFF, "redis-cleanup", "a new pod of ours"]
        for server, port in (
            ("API server", 443),
            ("API server", 6443),
            ("API server outside", 6443),
        )
    ),
    *((pod, "cloud's metadata", port) for pod in [*_NODES, *_BESIDE] for port in (80, *API_PORTS)),
    *((pod, "fe80::1 within", port) for pod in ASKING for port in API_PORTS),
    *((pod, "API server", port) for pod in ASKING for port in (22, 80, 10250)),
    *(("schedule", node, port) for node in _NODES for port in (6379, 8265, 8080)),
    *((source, "schedule", 8080) for source in ("stranger", "Prometheus", "operator", *_NODES)),
    *((node, "store", port) for node in _NODES for port in (80, 22, 8080)),
    *((node, false, 31234) for node in _NODES for false in _FALSE),
    *((node, inside, 443) for node in _NODES if node not in ASKING for inside in _INSIDE),
    ("training submitter", "store", 443),
    ("another of ours", "stranger", 443),
    ("stranger", "another of ours", 8265),
    *(("a new pod of ours", to, 443) for to in ("stranger", "store")),
    ("stranger", "a new pod of ours", 443),
    ("redis-cleanup", "store", 443),
]


_SAID = {True: "is open", False: "is shut"}


def reach_faults(documents: list[Object]) -> Iterator[str]:
    peers, network = {**OTHERS, **our_peers(documents)}, Network(documents)
    # Where KubeRay submits by itself there is no pod that does.
    left_out = set() if of_kind(documents, "CronJob") else {"schedule"}
    named = {end for source, target, _ in (*OPEN, *SHUT) for end in (source, target)} - left_out
    yield from (f"{end}: no such pod" for end in sorted(named - peers.keys()))
    for table, expected in ((OPEN, True), (SHUT, False)):
        for source, target, port in table:
            if source not in peers or target not in peers:
                continue
            # DNS is asked over both.
            for protocol in ("TCP", "UDP") if port == 53 else ("TCP",):
                ends = (peers[source], peers[target])
                for way in ways(network, *ends, port, protocol, both=not expected):
                    if way is not expected:
                        yield f"{source} -> {target} {port}/{protocol}: {_SAID[way]}"
    # A pod of ours with a new label is still shut in.
    for name, peer in our_peers(documents).items():
        neighbour = Peer(SHOP, HERE)
        if network.open_way(peer, neighbour, 12345) or network.open_way(neighbour, peer, 12345):
            yield f"{name} is not shut in"


def ways(
    network: Network, source: Peer, target: Peer, port: int, protocol: str, *, both: bool
) -> Iterator[bool]:
    """Whether it is open; with `both`, at each end of ours apart: two locks, if both are ours."""
    if not both:
        yield network.open_way(source, target, port, protocol)
        return
    if _is_ours(source):
        yield network.one_way("Egress", source, target, port, protocol)
    if _is_ours(target):
        yield network.one_way("Ingress", target, source, port, protocol)


def _is_ours(peer: Peer) -> bool:
    return peer.labels.get(PART_OF) == "rayrank" and peer.namespace == HERE
