"""What KubeRay v1.7 refuses of a RayService beside its cluster."""

import re

from .objects import Object

UPGRADES = ("NewCluster", "NewClusterWithIncrementalUpgrade", "None")
START_ANNOTATION = "ray.io/initializing-timeout"


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
