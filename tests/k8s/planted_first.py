"""Mistakes of the first round. Ten got past the tests once; the rest are of their kind."""

from .plant import (
    Planted,
    both,
    cluster,
    deployment,
    first,
    group,
    head,
    mount,
    one,
    override,
    policy,
    serve,
    size,
    spec,
    worker,
)

ONCE_MISSED = [
    Planted(
        "a claim of 20GB",
        "server",
        "'20GB' is not a quantity",
        lambda d: spec(d, "PersistentVolumeClaim")["resources"]["requests"].update(storage="20GB"),
    ),
    Planted(
        "limits below requests",
        "server",
        "requests 2 of cpu, limit 1",
        lambda d: first(worker(d, "RayCluster"))["resources"]["limits"].update(cpu="1"),
    ),
    Planted(
        "fsGroupChangePolicy misspelt",
        "server",
        "'OnRootMissmatch' is not one of",
        lambda d: (
            head(d, "RayCluster")
            .spec["securityContext"]
            .update(fsGroupChangePolicy="OnRootMissmatch")
        ),
    ),
    Planted(
        "a port's name of 18 characters",
        "server",
        "'autoscaler-metrics' is not a port's name",
        lambda d: first(head(d, "RayCluster"))["ports"][2].update(name="autoscaler-metrics"),
    ),
    Planted(
        "fsGroup removed",
        "house",
        "securityContext is",
        lambda d: worker(d, "RayCronJob").spec["securityContext"].pop("fsGroup"),
    ),
    Planted(
        "a replica of 4 CPUs on workers of 1",
        "sums",
        "a replica wants 4 CPUs",
        lambda d: deployment(d, ray_actor_options={"num_cpus": 4}),
    ),
    Planted(
        "a head of 256Mi",
        "sums",
        "head: 0.25 GiB of memory",
        lambda d: both(first(head(d, "RayService")), "memory", "256Mi"),
    ),
    Planted(
        "more training workers than CPUs",
        "sums",
        "8 training workers, 2 CPUs",
        lambda d: override(d, "rankers.mtgr.train.workers=8"),
    ),
    Planted(
        "one training pod for two workers",
        "sums",
        "2 training workers, 1 pods",
        lambda d: size(d, "RayCronJob", 1, 1),
    ),
    Planted(
        "bundles that are not the run's",
        "paths",
        "serves /storage/other/bundles",
        lambda d: serve(d, lambda a: a["args"].update(bundles="$RAYRANK_RUNS/other/bundles")),
    ),
]

FIRST = [
    *ONCE_MISSED,
    Planted(
        "a misspelt field of a pod",
        "server",
        "'resourcs' was unexpected",
        lambda d: first(worker(d, "RayCronJob")).update(resourcs={}),
    ),
    Planted(
        "a misspelt limit of Serve's",
        "serve",
        "max_ongoing_request is unknown",
        lambda d: deployment(d, max_ongoing_request=5),
    ),
    Planted(
        "a token without rayVersion",
        "server",
        "token needs rayVersion",
        lambda d: cluster(d, "RayCronJob").pop("rayVersion"),
    ),
    Planted(
        "a name of 48 characters",
        "server",
        "longer than 47",
        lambda d: one(d, "RayService")["metadata"].update(name="a" * 48),
    ),
    Planted(
        "no pod more while replicas are exchanged",
        "sums",
        "2 replicas and 1 that take over; there is room for 2",
        lambda d: size(d, "RayService", 2, 2),
    ),
    Planted(
        "training on GPUs that no pod has",
        "sums",
        "2 training workers on GPUs, 0 GPUs",
        lambda d: override(d, "rankers.mtgr.train.use_gpu=true"),
    ),
    Planted(
        "a larger cache than memory",
        "sums",
        "1 replicas want 9.5 GiB",
        lambda d: serve(d, lambda a: a["args"].update(cache_bytes=2**33)),
    ),
    Planted(
        "another run for the job",
        "paths",
        "the job writes /storage/other/bundles",
        lambda d: override(d, "run_dir=/storage/other"),
    ),
    Planted(
        "a run beside the volume",
        "paths",
        "/data/run is not on a volume",
        lambda d: override(d, "run_dir=/data/run"),
    ),
    Planted(
        "a misspelt override",
        "paths",
        "rankers.mtgr.train.worker",
        lambda d: override(d, "rankers.mtgr.train.worker=2"),
    ),
    Planted(
        "a claim that is not there",
        "paths",
        "no PersistentVolumeClaim 'rayrank-run'",
        lambda d: (
            head(d, "RayCronJob")
            .volumes["storage"]["persistentVolumeClaim"]
            .update(claimName="rayrank-run")
        ),
    ),
    Planted(
        "a mount elsewhere",
        "paths",
        "RAYRANK_RUNS=/storage is on no claim",
        lambda d: mount(worker(d, "RayCronJob"), "storage").update(mountPath="/run"),
    ),
    Planted(
        "a job that cannot write",
        "paths",
        "RAYRANK_RUNS=/storage cannot be written",
        lambda d: mount(worker(d, "RayCronJob"), "storage").update(readOnly=True),
    ),
    Planted(
        "a claim for one machine",
        "paths",
        "['ReadWriteOnce'], not ReadWriteMany",
        lambda d: spec(d, "PersistentVolumeClaim").update(accessModes=["ReadWriteOnce"]),
        "gpu volume",
    ),
    Planted(
        "an account that is not there",
        "paths",
        "no ServiceAccount 'rayrank'",
        lambda d: one(d, "ServiceAccount", "rayrank")["metadata"].update(name="rayranks"),
    ),
    Planted(
        "a secret that nobody makes",
        "paths",
        "nobody makes a secret 'rayrank-key'",
        lambda d: head(d, "RayService").volumes["keys"]["secret"].update(secretName="rayrank-key"),
    ),
    Planted(
        "Serve on another port than the pods'",
        "ports",
        "port 'serve' is 8000, not 8001",
        lambda d: first(worker(d, "RayService"))["ports"][1].update(containerPort=8001),
    ),
    Planted(
        "a policy for another port",
        "ports",
        "opens 8001, where nothing listens",
        lambda d: policy(d, "serve")["ingress"][0]["ports"][0].update(port=8001),
    ),
    Planted(
        "metrics shut",
        "reach",
        "Prometheus -> training worker 8080/TCP: is shut",
        lambda d: policy(d, "metrics").update(ingress=[]),
    ),
    Planted(
        "the metadata service open",
        "reach",
        "cloud's metadata 443/TCP: is open",
        lambda d: policy(d, "object-store")["egress"][0]["to"][0]["ipBlock"].pop("except"),
    ),
    Planted(
        "an island with a bridge",
        "reach",
        "serving worker -> training head 8265/TCP: is open",
        lambda d: policy(d, "within-training")["ingress"][0]["from"][0]["podSelector"][
            "matchLabels"
        ].pop("app.kubernetes.io/component"),
    ),
    Planted(
        "a head that dies of tasks",
        "ray",
        "tasks may run on the head",
        lambda d: cluster(d, "RayCronJob")["headGroupSpec"]["rayStartParams"].clear(),
    ),
    Planted(
        "workers that nobody counts",
        "ray",
        "replicas 2, maxReplicas 3, and no autoscaler",
        lambda d: group(d, "RayCronJob").update(maxReplicas=3),
    ),
]
