"""What KubeRay v1.7 refuses of a RayJob beside its cluster, and of a RayCronJob."""

import itertools
from collections.abc import Iterator

import yaml

from .cron import schedule_faults
from .objects import Object

# In the order in which they may come.
DELETED = ("DeleteWorkers", "DeleteCluster", "DeleteSelf")


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
    scales = spec.get("rayClusterSpec", {}).get("enableInTreeAutoscaling", False)
    found = [f"$.spec.{refusal}" for refusal, so in refusals.items() if so]
    return found + [
        f"$.spec.deletionStrategy: {fault}"
        for fault in rule_faults(deletion.get("deletionRules", []), bool(selected), scales)
    ]


def rule_faults(rules: list[Object], selected: bool, scales: bool) -> Iterator[str]:
    """What of a job is deleted when: its workers, then its cluster, then itself."""
    known: dict[tuple[str, str], dict[str, int]] = {}
    for rule in rules:
        policy, condition = rule["policy"], rule["condition"]
        kinds = [kind for kind in ("jobStatus", "jobDeploymentStatus") if kind in condition]
        if len(kinds) != 1:
            yield f"{policy}: jobStatus or jobDeploymentStatus, one of them"
            continue
        (kind,) = kinds
        if condition.get("ttlSeconds", 0) < 0:
            yield f"{policy}: ttlSeconds is negative"
        if selected and policy in ("DeleteWorkers", "DeleteCluster"):
            yield f"{policy}: not with clusterSelector"
        if scales and policy == "DeleteWorkers":
            yield "DeleteWorkers: not with the autoscaler"
        when = known.setdefault((kind, condition[kind]), {})
        if policy in when:
            yield f"{policy} at {condition[kind]}: twice"
        when.setdefault(policy, condition.get("ttlSeconds", 0))
    for (_, status), times in known.items():
        ordered = [policy for policy in DELETED if policy in times]
        for early, late in itertools.pairwise(ordered):
            if times[late] < times[early]:
                yield f"{late} at {status}: before {early}"


def cron_faults(spec: Object) -> list[str]:
    return schedule_faults(spec)


def _is_mapping(text: str) -> bool:
    try:
        return isinstance(yaml.safe_load(text), dict)
    except yaml.YAMLError:
        return False
