"""Mistakes in what keeps serving up: replicas, their exchange, Redis, autoscaler, budget."""

from .plant import (
    Planted,
    cluster,
    deployment,
    drop,
    first,
    head,
    hook,
    mount,
    one,
    pod_of,
    serve,
    size,
    spec,
    worker,
)

SERVING = [
    Planted(
        "maxUnavailable in the budget",
        "house",
        "minAvailable, and a number",
        lambda d: (
            spec(d, "PodDisruptionBudget").pop("minAvailable"),
            spec(d, "PodDisruptionBudget").update(maxUnavailable=1),
        ),
    ),
    Planted(
        "a budget in percent",
        "house",
        "minAvailable, and a number",
        lambda d: spec(d, "PodDisruptionBudget").update(minAvailable="50%"),
    ),
    Planted(
        "a budget that lets no node go",
        "house",
        "2 of 2 pods must stay",
        lambda d: spec(d, "PodDisruptionBudget").update(minAvailable=2),
    ),
    Planted(
        "a budget of the heads, too",
        "house",
        "not of the replicas' pods",
        lambda d: spec(d, "PodDisruptionBudget")["selector"]["matchLabels"].pop("ray.io/node-type"),
    ),
    Planted(
        "an autoscaler that is not v2",
        "ray",
        "the autoscaler is not v2",
        lambda d: cluster(d, "RayService")["autoscalerOptions"].pop("version"),
    ),
    Planted(
        "an autoscaler without bounds",
        "ray",
        "autoscalerOptions: no resources",
        lambda d: cluster(d, "RayService")["autoscalerOptions"].pop("resources"),
    ),
    Planted(
        "an autoscaler with all rights of its container",
        "house",
        "autoscaler: securityContext is",
        lambda d: cluster(d, "RayService")["autoscalerOptions"].pop("securityContext"),
    ),
    Planted(
        "an autoscaler without its token",
        "house",
        "autoscaler: has no token",
        lambda d: cluster(d, "RayService")["autoscalerOptions"]["volumeMounts"].pop(),
    ),
    Planted(
        "an autoscaler that mounts what is not there",
        "server",
        "mounts 'token', which is no volume",
        lambda d: cluster(d, "RayService")["autoscalerOptions"]["volumeMounts"][1].update(
            name="token"
        ),
    ),
    Planted(
        "surge without the autoscaler",
        "ray",
        "no autoscaler",
        lambda d: (
            cluster(d, "RayService").pop("enableInTreeAutoscaling"),
            cluster(d, "RayService").pop("autoscalerOptions"),
        ),
    ),
    Planted(
        "a third replica without a third pod",
        "sums",
        "3 replicas and 2 that take over; there is room for 3",
        lambda d: deployment(d, num_replicas=3),
    ),
    Planted(
        "replicas that wait for the autoscaler",
        "sums",
        "there is room for 1",
        lambda d: size(d, "RayService", 1, 3),
    ),
    Planted("one replica", "serve", "num_replicas", lambda d: deployment(d, num_replicas=1)),
    Planted(
        "old replicas that stop first",
        "serve",
        "max_surge_percent",
        lambda d: deployment(d, max_surge_percent=0),
    ),
    Planted(
        "both replicas on one node",
        "serve",
        "max_replicas_per_node",
        lambda d: deployment(d, max_replicas_per_node=2),
    ),
    Planted(
        "Serve without a key",
        "serve",
        "whoever reaches the port",
        lambda d: serve(d, lambda a: a["args"].update(authenticate=False)),
    ),
    Planted(
        "another file of keys",
        "serve",
        "keys_file: not /etc/rayrank/keys/api-key",
        lambda d: serve(d, lambda a: a["args"].update(keys_file="/etc/rayrank/keys/key")),
    ),
    Planted(
        "keys mounted elsewhere",
        "paths",
        "is not the key 'api-key' of the secret",
        lambda d: mount(worker(d, "RayService"), "keys").update(mountPath="/etc/rayrank/key"),
    ),
    Planted(
        "a version that stays",
        "serve",
        "a promotion would not be followed",
        lambda d: serve(d, lambda a: a["args"].update(version="20261124")),
    ),
    Planted(
        "no time to answer what is under way",
        "serve",
        "graceful_shutdown_timeout_s",
        lambda d: deployment(d, graceful_shutdown_timeout_s=2),
    ),
    Planted(
        "a hook longer than the pod is given",
        "ray",
        "-100 s are left to stop in",
        lambda d: hook(d).__setitem__(2, hook(d)[2].replace("240", "400")),
    ),
    Planted(
        "a pod that goes without a word",
        "ray",
        "preStop is None",
        lambda d: first(worker(d, "RayService")).pop("lifecycle"),
    ),
    Planted(
        "replicas that crowd on one machine",
        "ray",
        "not spread over machines",
        lambda d: worker(d, "RayService").spec.pop("topologySpreadConstraints"),
    ),
    Planted(
        "Redis at another name",
        "paths",
        "no Service is redis:6379",
        lambda d: cluster(d, "RayService")["gcsFaultToleranceOptions"].update(
            redisAddress="redis:6379"
        ),
    ),
    Planted(
        "another password than Redis reads",
        "paths",
        "nobody makes a secret 'rayrank-redis' with the key 'pass'",
        lambda d: cluster(d, "RayService")["gcsFaultToleranceOptions"]["redisPassword"][
            "valueFrom"
        ]["secretKeyRef"].update(key="pass"),
    ),
    Planted(
        "Redis that forgets",
        "paths",
        "does not write to its claim",
        lambda d: mount(pod_of(d, "StatefulSet"), "data").update(mountPath="/redis"),
    ),
    Planted(
        "Redis without its Service",
        "paths",
        "no Service 'rayrank-redis'",
        lambda d: drop(d, "Service", "rayrank-redis"),
    ),
    Planted(
        "a head that is forgotten",
        "ray",
        "a head that is lost takes all replicas",
        lambda d: cluster(d, "RayService").pop("gcsFaultToleranceOptions"),
    ),
    Planted(
        "serving that waits behind training",
        "house",
        "priority is rayrank-training",
        lambda d: head(d, "RayService").spec.update(priorityClassName="rayrank-training"),
    ),
    Planted(
        "a priority that is not there",
        "house",
        "priority classes are",
        lambda d: one(d, "PriorityClass", "rayrank-serving")["metadata"].update(name="rayrank"),
    ),
    Planted(
        "an incremental upgrade without its options",
        "server",
        "an incremental upgrade needs clusterUpgradeOptions",
        lambda d: spec(d, "RayService")["upgradeStrategy"].pop("clusterUpgradeOptions"),
        "cpu incremental-upgrade",
    ),
]
