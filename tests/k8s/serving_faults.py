"""What we ask of the RayService: it stays up while pods, heads and clusters are exchanged."""

import re
from collections.abc import Iterator

from rayrank.serve.leave import ROUTERS_S
from rayrank.serve.limits import REQUEST_TIMEOUT_S

from .labels import COMPONENT, PART_OF
from .network import selects
from .objects import Object, Pod, pods
from .serve_config import serve_config_of

# What Ray has left for stopping, after preStop.
STOPS_IN_S = 30
LEAVE = re.compile(r"exec python -m rayrank\.serve\.leave --within-s (\d+) > /proc/1/fd/1 2>&1")
HOSTNAME, CLUSTER = "kubernetes.io/hostname", "ray.io/cluster"
# Kubernetes' own, if nothing is said.
GRACE_S = 30


def serving_faults(document: Object) -> Iterator[str]:
    spec = document["spec"]
    cluster = spec["rayClusterConfig"]
    if not spec.get("excludeHeadPodFromServeSvc"):
        yield "traffic depends on the head"
    if spec.get("upgradeStrategy", {}).get("type", "None") == "None":
        yield "a changed cluster never takes over"
    if spec.get("rayClusterDeletionDelaySeconds", 60) < 60:
        yield "the old cluster goes while clients still ask it"
    if "gcsFaultToleranceOptions" not in cluster:
        yield "a head that is lost takes all replicas with it"
    if not cluster.get("enableInTreeAutoscaling"):
        yield "no autoscaler: there is no pod more while replicas are exchanged"
    for group in cluster.get("workerGroupSpecs", []):
        (pod,) = pods(group)
        yield from spread_faults(pod)
        yield from stop_faults(pod, document)


def spread_faults(pod: Pod) -> Iterator[str]:
    """Pods of one cluster on machines of their own, where there are as many."""
    labels = {**pod.labels, "ray.io/node-type": "worker"}
    for rule in pod.spec.get("topologySpreadConstraints", []):
        matched = rule.get("labelSelector", {}).get("matchLabels", {})
        # While there are two clusters, each spreads its own.
        mine = rule.get("matchLabelKeys") == [CLUSTER] and selects(rule["labelSelector"], labels)
        # The head is on any machine; others' pods do not count.
        only = {PART_OF, COMPONENT, "ray.io/node-type"} <= matched.keys()
        told = (rule["topologyKey"], rule["whenUnsatisfiable"], rule["maxSkew"])
        if mine and only and told == (HOSTNAME, "ScheduleAnyway", 1):
            return
    yield "its pods are not spread over machines"


def stop_faults(pod: Pod, document: Object) -> Iterator[str]:
    """Before a pod goes, its replica is elsewhere, and what it has is answered."""
    grace = pod.spec.get("terminationGracePeriodSeconds", GRACE_S)
    drains = [
        deployment.get("graceful_shutdown_timeout_s", 20)
        for application in serve_config_of(document)["applications"]
        for deployment in application.get("deployments", [])
    ]
    for container in pod.containers:
        hook = container.get("lifecycle", {}).get("preStop", {}).get("exec", {})
        match hook.get("command"):
            case ["sh", "-c", str(line)] if told := LEAVE.fullmatch(line):
                within = int(told[1])
            case command:
                yield f"{container['name']}: preStop is {command}"
                continue
        if grace - within < max(STOPS_IN_S, *drains):
            yield f"{container['name']}: {grace - within} s are left to stop in"
        if within < ROUTERS_S + REQUEST_TIMEOUT_S + 60:
            yield f"{container['name']}: {within} s to start a pod and load a model elsewhere"
