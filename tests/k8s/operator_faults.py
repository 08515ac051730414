"""What KubeRay v1.7's own checks refuse and its schemas let through, for the fields we may set.

Its source is `ray-operator/controllers/ray/utils/validation.go`; the gates that are off there
(`networkPolicy`, `tlsOptions`, history server, RocksDB) are refused here too.
"""

import re
from collections.abc import Iterator

from .names import DNS_1035, LABEL, label_faults
from .objects import CLUSTER_PATH, Object, cluster_of
from .operator_job_faults import cron_faults, job_faults
from .operator_service_faults import service_faults

# The operator appends to these names, and Kubernetes ends at 63 characters.
NAME_LIMITS = {"RayCluster": 53, "RayJob": 47, "RayService": 47, "RayCronJob": 36}
OLDEST_RAY_WITH_TOKENS = (2, 52, 0)
GATED = ("networkPolicy", "tlsOptions", "historyServerOptions")
RAY_RESOURCES = {"num-cpus", "num-gpus", "memory", "resources"}
AUTOSCALER_V2 = "RAY_enable_autoscaler_v2"
START_COMMAND = "KUBERAY_GEN_AUTOSCALER_START_CMD"


def operator_faults(document: Object) -> list[str]:
    kind = document["kind"]
    if kind not in CLUSTER_PATH:
        return []
    name, spec = document["metadata"]["name"], document.get("spec", {})
    found = []
    if len(name) > NAME_LIMITS[kind]:
        found.append(f"$.metadata.name: longer than {NAME_LIMITS[kind]} characters")
    if not DNS_1035.fullmatch(name):
        found.append(f"$.metadata.name: {name!r} is not a DNS-1035 label")
    if kind == "RayJob":
        found += job_faults(spec)
    if kind == "RayCronJob":
        # The operator looks at the RayJobs of its template, too; so do we, as they are made.
        return found + cron_faults(spec)
    if kind == "RayService":
        found += service_faults(document)
    selected = kind == "RayJob" and "rayClusterSpec" not in spec
    return found if selected else found + cluster_faults(cluster_of(document), kind)


def groups_of(cluster: Object) -> Iterator[tuple[str, Object]]:
    yield "head", cluster["headGroupSpec"]
    for group in cluster.get("workerGroupSpecs", []):
        yield group["groupName"], group


def variables_of(container: Object) -> dict[str, str]:
    return {v["name"]: v.get("value", "") for v in container.get("env", [])}


def head_variables(cluster: Object) -> dict[str, str]:
    containers = cluster["headGroupSpec"]["template"].get("spec", {}).get("containers", [])[:1]
    return {name: v for c in containers for name, v in variables_of(c).items()}


def autoscaler_faults(cluster: Object) -> Iterator[str]:
    scales = cluster.get("enableInTreeAutoscaling", False)
    options = cluster.get("autoscalerOptions", {})
    told = head_variables(cluster).get(AUTOSCALER_V2)
    if options.get("idleTimeoutSeconds", 0) < 0:
        yield "autoscalerOptions.idleTimeoutSeconds: negative"
    if not scales and told in ("1", "true"):
        yield f"{AUTOSCALER_V2}: needs enableInTreeAutoscaling"
    if scales and told is not None and "version" in options:
        yield f"{AUTOSCALER_V2}: and autoscalerOptions.version, one of them"
    if START_COMMAND in variables_of(options):
        yield f"autoscalerOptions.env: {START_COMMAND} is the operator's"


def cluster_faults(cluster: Object, kind: str) -> list[str]:
    scales = cluster.get("enableInTreeAutoscaling", False)
    options = cluster.get("autoscalerOptions", {})
    is_v2 = scales and options.get("version") == "v2"
    found = [f"{field}: its feature gate is off" for field in GATED if field in cluster]
    found += [*auth_faults(cluster, kind), *fault_tolerance_faults(cluster)]
    found += autoscaler_faults(cluster)
    if kind != "RayCluster" and "upgradeStrategy" in cluster:
        found.append(f"upgradeStrategy: not for the cluster of a {kind}")
    for name, group in groups_of(cluster):
        found += [f"group {name!r}: {fault}" for fault in group_faults(group, scales, is_v2)]
        policy = group["template"].get("spec", {}).get("restartPolicy", "Never")
        if is_v2 and policy != "Never":
            found.append(f"group {name!r}: restartPolicy must be Never with autoscaler v2")
    names = [name for name, _ in groups_of(cluster)]
    found += [f"group {name!r}: twice" for name in set(names) if names.count(name) > 1]
    # A part of its pods' names.
    found += [f"group {name!r}: is not a label" for name in names if not LABEL.fullmatch(name)]
    return found


def group_faults(group: Object, scales: bool, is_v2: bool) -> Iterator[str]:
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
    if group.get("idleTimeoutSeconds", 0) < 0:
        yield "idleTimeoutSeconds: negative"
    if not is_v2 and "idleTimeoutSeconds" in group:
        yield "idleTimeoutSeconds: needs autoscaler v2"
    if not is_v2 and group.get("priority"):
        yield "priority: needs autoscaler v2"
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
    variables = head_variables(cluster).keys()
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
    elif "storage" in options:
        yield "gcsFaultToleranceOptions.storage: for rocksdb alone"
    if "redis-password" in started or {"REDIS_PASSWORD", "RAY_REDIS_ADDRESS"} & variables:
        yield "the head's Redis address and password belong to gcsFaultToleranceOptions"
