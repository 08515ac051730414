"""What we ask of every object beyond what Kubernetes does: labelled, confined, in no one's way."""

from collections.abc import Iterator

from .as_run import run_pods
from .labels import COMPONENT, PART_OF, object_label_faults, pod_label_faults
from .network import selects
from .objects import Object, cluster_of, of_kind, ray_documents, title
from .pod_house_faults import FIRST, LATER, is_secret, pod_house_faults
from .ray_groups import is_on_gpus, ray_groups
from .rights_faults import right_faults

WORKERS = {PART_OF: "rayrank", COMPONENT: "serving", "ray.io/node-type": "worker"}


def house_faults(documents: list[Object]) -> list[str]:
    found = right_faults(documents) + list(priority_faults(documents))
    on_gpus = is_on_gpus(documents)
    for document in documents:
        faults = [*object_faults(document), *object_label_faults(document, documents)]
        found += [f"{title(document)}: {fault}" for fault in faults]
        for pod in run_pods(document):
            faults = [*pod_house_faults(pod, on_gpus), *pod_label_faults(document, pod)]
            found += [f"{pod.where}: {fault}" for fault in faults]
    for budget in of_kind(documents, "PodDisruptionBudget"):
        found += [f"{title(budget)}: {f}" for f in budget_faults(budget["spec"], documents)]
    if len(of_kind(documents, "PodDisruptionBudget")) != len(of_kind(documents, "RayService")):
        found.append("a budget for each service")
    return found


def object_faults(document: Object) -> Iterator[str]:
    kind = document["kind"]
    if "namespace" in document["metadata"]:
        yield "has a namespace: that is whoever's who applies it"
    if kind == "ServiceAccount" and document.get("automountServiceAccountToken", True):
        yield "gives pods a token"
    if kind == "NetworkPolicy":
        yield from policy_faults(document["spec"])
    if kind == "ConfigMap":
        for name in document.get("data", {}):
            if is_secret(name):
                yield f"{name}: looks like a secret in the environment"
    if kind == "Secret":
        yield "secrets are made by hand, not kept with the source"
    if kind == "Service" and document["spec"].get("selector", {}).get(PART_OF) != "rayrank":
        yield "selects other pods than ours, too"
    if kind == "Service" and document["spec"].get("clusterIP") != "None":
        yield "is reached by its pods' own addresses, one or none (clusterIP: None)"


def policy_faults(spec: Object) -> Iterator[str]:
    """A policy says all that it means: what is left out opens more than one thinks."""
    ways = [way for way in ("ingress", "egress") if way in spec] or ["ingress", "egress"]
    if [kind.lower() for kind in spec.get("policyTypes", [])] != ways:
        yield f"policyTypes are {spec.get('policyTypes')}, rules for {' and '.join(ways)}"
    if spec["podSelector"].get("matchLabels", {}).get(PART_OF) != "rayrank":
        yield "selects other pods than ours, too"
    rules = [*spec.get("ingress", []), *spec.get("egress", [])]
    if not all("port" in port for rule in rules for port in rule.get("ports", [])):
        yield "opens all ports of a protocol"
    for peer in [peer for rule in rules for peer in (*rule.get("from", []), *rule.get("to", []))]:
        if "ipBlock" not in peer and not peer.get("podSelector", {}).get("matchLabels"):
            yield f"opens to all pods of {peer.get('namespaceSelector', 'this namespace')}"


def priority_faults(documents: list[Object]) -> Iterator[str]:
    """Serving before training, which puts nobody out: it can wait, and goes on where it was."""
    known = {d["metadata"]["name"]: d for d in of_kind(documents, "PriorityClass")}
    if known.keys() != {FIRST, LATER}:
        yield f"priority classes are {sorted(known)}"
        return
    first, later = known[FIRST], known[LATER]
    if not first["value"] > later["value"] > 0:
        yield f"priorities are {first['value']} and {later['value']}"
    if first.get("preemptionPolicy", "PreemptLowerPriority") == "Never":
        yield f"{FIRST} waits for a place"
    if later.get("preemptionPolicy") != "Never":
        yield f"{LATER} takes others' places"
    for name, priority in known.items():
        if priority.get("globalDefault"):
            yield f"{name}: is everybody's"
        if not priority.get("description"):
            yield f"{name}: does not say what for"


def budget_faults(spec: Object, documents: list[Object]) -> Iterator[str]:
    """Of pods that KubeRay owns, which have no scale: Kubernetes takes an integer minAvailable, and
    refuses every eviction with anything else."""
    least = spec.get("minAvailable")
    if isinstance(least, bool) or not isinstance(least, int):
        yield "of a custom resource's pods: minAvailable, and a number"
        return
    if spec.get("selector") != {"matchLabels": WORKERS}:
        yield f"is of {spec.get('selector')}, not of the replicas' pods"
    if not selects(spec.get("selector", {}), WORKERS):
        return
    replicas = sum(
        group.least
        for document in ray_documents(documents)
        if document["kind"] == "RayService"
        for group in ray_groups(cluster_of(document))[1:]
    )
    if not 1 <= least < replicas:
        yield f"{least} of {replicas} pods must stay: no node could be drained, or all at once"
