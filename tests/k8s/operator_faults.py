"""What KubeRay v1.7's own checks refuse and its schemas let through, for the fields we may set.

Its source is `ray-operator/controllers/ray/utils/validation.go`; the gates that are off there
(`networkPolicy`, `tlsOptions`, history server, RocksDB) are refused here too.
"""

import re
from collections.abc import Iterator

import yaml

from .names import DNS_1035, LABEL, label_faults
from .objects import RAY_KINDS, Object, cluster_of

# The operator appends to these names, and Kubernetes ends at 63 characters.
NAME_LIMITS = {"RayCluster": 53, "RayJob": 47, "RayService": 47}
OLDEST_RAY_WITH_TOKENS = (2, 52, 0)
GATED = ("networkPolicy", "tlsOptions", "historyServerOptions")
RAY_RESOURCES = {"num-cpus", "num-gpus", "memory", "resources"}
UPGRADES = ("NewCluster", "NewClusterWithIncrementalUpgrade", "None")
START_ANNOTATION = "ray.io/initializing-timeout"


def operator_faults(document: Object) -> list[str]:
    kind = document["kind"]
    if kind not in RAY_KINDS:
        return []
    name, spec = document["metadata"]["name"], document.get("spec", {})
    found = []
    if len(name) > NAME_LIMITS[kind]:
        found.append(f"$.metadata.name: longer than {NAME_LIMITS[kind]} characters")
    if not DNS_1035.fullmatch(name):
        found.append(f"$.metadata.name: {name!r} is not a DNS-1035 label")
    if kind == "RayJob":
        found += job_faults(spec)
    if kind == "RayService":
        found += service_faults(document)
    selected = kind == "RayJob" and "rayClusterSpec" not in spec
    return found if selected else found + cluster_faults(cluster_of(document), kind)


def job_faults(spec: Object) -> list[str]:
    shut, mode = spec.get("shutdownAfterJobFinishes", False), spec.get("submissionMode")
    selected, backoff = spec.get("clusterSelector"), spec.get("backoffLimit", 0)
    deletion = spec.get("deletionStrategy", {})
    submitter = spec.get("submitterPodTemplate", {}).get("spec", {})
    refusals = {
        "ttlSecondsAfterFinished: needs shutdownAfterJobFinishes": (
            spec.get("ttlSecondsAfterFinished") and not shut
        ),
        "ttlSecondsAfterFinished: negative": spec.get("ttlSecondsAfterFinished", 0) < 0,
        "suspend: needs shutdownAfterJobFinishes": spec.get("suspend") and not shut,
        "suspend: not with clusterSelector": spec.get("suspend") and selected,
        "rayClusterSpec or clusterSelector: one is needed": (
            "rayClusterSpec" not in spec and not selected
        ),
        "clusterSelector: no ray.io/cluster": selected and not selected.get("ray.io/cluster"),
        "clusterSelector: not in SidecarMode": selected and mode == "SidecarMode",
        "backoffLimit: negative": backoff < 0,
        "backoffLimit: not with clusterSelector": backoff > 0 and selected,
        "backoffLimit: not in InteractiveMode": backoff > 0 and mode == "InteractiveMode",
        "submitterPodTemplate: not in SidecarMode": submitter and mode == "SidecarMode",
        "submitterConfig: not in SidecarMode": (
            "submitterConfig" in spec and mode == "SidecarMode"
        ),
        # The submitter is a Job's pod.
        "submitterPodTemplate: restartPolicy must be Never or OnFailure": (
            submitter.get("restartPolicy") == "Always"
        ),
        "deletionStrategy: rules not with shutdownAfterJobFinishes": (
            shut and deletion.get("deletionRules")
        ),
        "runtimeEnvYAML: is not a mapping": not _is_mapping(spec.get("runtimeEnvYAML", "{}")),
    }
    refusals |= {
        f"{field}: must be positive": spec.get(field, 1) <= 0
        for field in ("activeDeadlineSeconds", "preRunningDeadlineSeconds")
    }
    return [f"$.spec.{refusal}" for refusal, so in refusals.items() if so]


def _is_mapping(text: str) -> bool:
    try:
        return isinstance(yaml.safe_load(text), dict)
    except yaml.YAMLError:
        return False


def service_faults(document: Object) -> list[str]:
    spec = document["spec"]
    start = document["metadata"].get("annotations", {}).get(START_ANNOTATION, "1")
    head_service = spec["rayClusterConfig"]["headGroupSpec"].get("headService", {})
    strategy = spec.get("upgradeStrategy", {})
    refusals = {
        "spec.upgradeStrategy: its type is unknown": strategy.get("type", "None") not in UPGRADES,
        "deletion delay: negative": spec.get("rayClusterDeletionDelaySeconds", 0) < 0,
        "headService: must not be named": head_service.get("metadata", {}).get("name"),
        f"{START_ANNOTATION}: {start!r} is not a duration": not re.fullmatch(
            r"[1-9]\d*|(?=.*[1-9])(\d+(\.\d+)?(ms|h|m|s))+", start
        ),
    }
    found = [f"$.{refusal}" for refusal, so in refusals.items() if so]
    if strategy.get("type") != "NewClusterWithIncrementalUpgrade":
        return found
    return found + incremental_faults(strategy, spec["rayClusterConfig"])


def incremental_faults(strategy: Object, cluster: Object) -> list[str]:
    options = strategy.get("clusterUpgradeOptions")
    if options is None:
        return ["$.spec.upgradeStrategy: an incremental upgrade needs clusterUpgradeOptions"]
    surge, step = options.get("maxSurgePercent", 100), options.get("stepSizePercent", -1)
    refusals = {
        "needs the autoscaler": not cluster.get("enableInTreeAutoscaling"),
        "maxSurgePercent: 0 to 100": not 0 <= surge <= 100,
        "stepSizePercent: 0 to maxSurgePercent": not 0 <= step <= surge,
        "intervalSeconds: more than 0": options.get("intervalSeconds", 0) <= 0,
        "gatewayClassName: needed": not options.get("gatewayClassName"),
    }
    return [f"$.spec.upgradeStrategy: {refusal}" for refusal, so in refusals.items() if so]


def groups_of(cluster: Object) -> Iterator[tuple[str, Object]]:
    yield "head", cluster["headGroupSpec"]
    for group in cluster.get("workerGroupSpecs", []):
        yield group["groupName"], group


def cluster_faults(cluster: Object, kind: str) -> list[str]:
    scales = cluster.get("enableInTreeAutoscaling", False)
    options = cluster.get("autoscalerOptions", {})
    found = [f"{field}: its feature gate is off" for field in GATED if field in cluster]
    found += [*auth_faults(cluster, kind), *fault_tolerance_faults(cluster)]
    if options.get("idleTimeoutSeconds", 0) < 0:
        found.append("autoscalerOptions.idleTimeoutSeconds: negative")
    if kind != "RayCluster" and "upgradeStrategy" in cluster:
        found.append(f"upgradeStrategy: not for the cluster of a {kind}")
    for name, group in groups_of(cluster):
        found += [f"group {name!r}: {fault}" for fault in group_faults(group, scales)]
        policy = group["template"].get("spec", {}).get("restartPolicy", "Never")
        if scales and options.get("version") == "v2" and policy != "Never":
            found.append(f"group {name!r}: restartPolicy must be Never with autoscaler v2")
    names = [name for name, _ in groups_of(cluster)]
    found += [f"group {name!r}: twice" for name in set(names) if names.count(name) > 1]
    # A part of its pods' names.
    found += [f"group {name!r}: is not a label" for name in names if not LABEL.fullmatch(name)]
    return found


def group_faults(group: Object, scales: bool) -> Iterator[str]:
    started = group.get("rayStartParams", {})
    if not group["template"].get("spec", {}).get("containers"):
        yield "no container"
    if RAY_RESOURCES & started.keys() and group.get("resources"):
        yield "resources both in rayStartParams and of the group"
    if "labels" in started:
        yield "rayStartParams: labels belong to the group"
    yield from label_faults(group.get("labels", {}), "labels")
    least, most = group.get("minReplicas", 0), group.get("maxReplicas", 2**31)
    if least < 0 or most < 0 or least > most:
        yield f"minReplicas {least}, maxReplicas {most}"
    # Accepted, but then the operator has its own way: it starts minReplicas or maxReplicas.
    if not least <= group.get("replicas", least) <= most:
        yield f"replicas {group['replicas']} are not within {least} and {most}"
    if not scales and "idleTimeoutSeconds" in group:
        yield "idleTimeoutSeconds: needs the autoscaler"
    if scales and group.get("suspend"):
        yield "suspend: not with the autoscaler"


def auth_faults(cluster: Object, kind: str) -> Iterator[str]:
    auth, version = cluster.get("authOptions", {}), cluster.get("rayVersion")
    if auth.get("enableK8sTokenAuth") and kind != "RayCluster":
        yield f"authOptions.enableK8sTokenAuth: not for a {kind}"
    if auth.get("mode") != "token":
        if auth.get("enableK8sTokenAuth"):
            yield "authOptions.enableK8sTokenAuth: needs mode token"
    elif not version:
        yield "authOptions.mode token needs rayVersion"
    elif not re.fullmatch(r"\d+\.\d+\.\d+", version):
        yield f"rayVersion: {version!r} is not a version"
    elif tuple(map(int, version.split("."))) < OLDEST_RAY_WITH_TOKENS:
        yield f"authOptions.mode token: Ray {version} is too old"


def fault_tolerance_faults(cluster: Object) -> Iterator[str]:
    options, head = cluster.get("gcsFaultToleranceOptions"), cluster["headGroupSpec"]
    containers = head["template"].get("spec", {}).get("containers", [])[:1]
    variables = {v["name"] for container in containers for v in container.get("env", [])}
    started = head.get("rayStartParams", {})
    if "redis-username" in started or "REDIS_USERNAME" in variables:
        yield "the head's Redis user belongs to gcsFaultToleranceOptions"
    if options is None:
        # Unless an annotation says so, which is deprecated and not ours.
        if "RAY_REDIS_ADDRESS" in variables:
            yield "RAY_REDIS_ADDRESS: needs gcsFaultToleranceOptions"
        return
    if options.get("backend") == "rocksdb":
        yield "gcsFaultToleranceOptions.backend: the feature gate of rocksdb is off"
    if "redis-password" in started or {"REDIS_PASSWORD", "RAY_REDIS_ADDRESS"} & variables:
        yield "the head's Redis address and password belong to gcsFaultToleranceOptions"
