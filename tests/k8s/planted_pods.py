"""Mistakes in pods: their disks, tokens, secrets, machines, storage, and who reaches them."""

from .plant import (
    Planted,
    cluster,
    drop,
    first,
    head,
    mount,
    one,
    pod_of,
    policy,
    settings,
    spec,
    worker,
)

TOKEN = {
    "name": "api-token",
    "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
    "readOnly": True,
}

PODS = [
    Planted(
        "a root that may be written",
        "house",
        "securityContext is",
        lambda d: first(worker(d, "RayService"))["securityContext"].update(
            readOnlyRootFilesystem=False
        ),
    ),
    Planted(
        "Redis with a root that may be written",
        "house",
        "redis: securityContext is",
        lambda d: first(pod_of(d, "StatefulSet"))["securityContext"].pop("readOnlyRootFilesystem"),
    ),
    Planted(
        "nowhere to write",
        "house",
        "/tmp cannot be written to",
        lambda d: first(head(d, "RayCronJob"))["volumeMounts"].pop(),
    ),
    Planted(
        "a /tmp that only reads",
        "house",
        "/tmp cannot be written to",
        lambda d: mount(head(d, "RayCronJob"), "tmp").update(readOnly=True),
    ),
    Planted(
        "a /tmp as large as the node's disk",
        "house",
        "volume 'tmp': no sizeLimit",
        lambda d: head(d, "RayCronJob").volumes["tmp"]["emptyDir"].pop("sizeLimit"),
    ),
    Planted(
        "a /tmp in memory",
        "house",
        "/tmp is memory",
        lambda d: head(d, "RayCronJob").volumes["tmp"]["emptyDir"].update(medium="Memory"),
    ),
    Planted(
        "a token in the head's own container",
        "house",
        "ray-head: mounts a token",
        lambda d: first(head(d, "RayService"))["volumeMounts"].append(TOKEN),
    ),
    Planted(
        "a token in every container",
        "house",
        "gets a token of the Kubernetes API",
        lambda d: head(d, "RayService").spec.update(automountServiceAccountToken=True),
    ),
    Planted(
        "a submitter without a token",
        "house",
        "gets no token",
        lambda d: pod_of(d, "CronJob").spec.update(automountServiceAccountToken=False),
    ),
    Planted(
        "a secret in the environment",
        "house",
        "RAYRANK_API_KEY is a secret in the environment",
        lambda d: first(worker(d, "RayService"))["env"].append(
            {
                "name": "RAYRANK_API_KEY",
                "valueFrom": {"secretKeyRef": {"name": "rayrank-api-key", "key": "api-key"}},
            }
        ),
    ),
    Planted(
        "a secret among the settings",
        "house",
        "AWS_SECRET_ACCESS_KEY: looks like a secret",
        lambda d: settings(d).update(AWS_SECRET_ACCESS_KEY="abc"),
        "gpu",
    ),
    Planted(
        "another image's version",
        "house",
        "image rayrank:0.1.0-cpu, not",
        lambda d: first(worker(d, "RayCronJob")).update(image="rayrank:0.1.0-cpu"),
    ),
    Planted(
        "an image for CPUs on GPUs",
        "house",
        "-cpu, not rayrank:",
        lambda d: first(worker(d, "RayCronJob")).update(
            image=first(worker(d, "RayCronJob"))["image"].replace("gpu", "cpu")
        ),
        "gpu",
    ),
    Planted(
        "GPUs that are not tolerated",
        "house",
        "tolerations are []",
        lambda d: worker(d, "RayService").spec.pop("tolerations"),
        "gpu",
    ),
    Planted(
        "GPUs on any machine",
        "house",
        "nodeSelector is {}",
        lambda d: worker(d, "RayCronJob").spec.pop("nodeSelector"),
        "gpu",
    ),
    Planted(
        "rows on machines with GPUs",
        "house",
        "has no GPU, and may stand in the way",
        lambda d: cluster(d, "RayCronJob")["workerGroupSpecs"][1]["template"]["spec"].update(
            tolerations=[{"operator": "Exists"}]
        ),
        "gpu",
    ),
    Planted(
        "shared memory on disk",
        "house",
        "/dev/shm is not memory",
        lambda d: worker(d, "RayCronJob").volumes["shared-memory"]["emptyDir"].pop("medium"),
        "gpu",
    ),
    Planted(
        "more shared memory than memory",
        "sums",
        "/dev/shm may take what its processes want",
        lambda d: (
            worker(d, "RayCronJob").volumes["shared-memory"]["emptyDir"].update(sizeLimit="1000Gi")
        ),
        "gpu",
    ),
    Planted(
        "runs beside the volume",
        "paths",
        "RAYRANK_RUNS=/data is on no claim",
        lambda d: settings(d).update(RAYRANK_RUNS="/data"),
    ),
    Planted(
        "no place for runs",
        "serve",
        "$RAYRANK_RUNS is not set",
        lambda d: settings(d).pop("RAYRANK_RUNS"),
    ),
    Planted(
        "a bucket without its key",
        "paths",
        "is not the file 'credentials' of the secret",
        lambda d: settings(d).update(AWS_SHARED_CREDENTIALS_FILE="/storage/key"),
        "gpu",
    ),
    Planted(
        "a service that may write runs",
        "paths",
        "need not be written",
        lambda d: mount(worker(d, "RayService"), "storage").pop("readOnly"),
    ),
    Planted(
        "many machines' claim on a laptop",
        "paths",
        "['ReadWriteMany'], not ReadWriteOnce",
        lambda d: spec(d, "PersistentVolumeClaim").update(accessModes=["ReadWriteMany"]),
    ),
    Planted(
        "Redis for every pod of the namespace",
        "reach",
        "training head -> Redis 6379/TCP: is open",
        lambda d: policy(d, "redis")["ingress"][0].pop("from"),
    ),
    Planted(
        "Redis shut",
        "reach",
        "redis-cleanup -> Redis 6379/TCP: is shut",
        lambda d: policy(d, "to-redis")["podSelector"]["matchExpressions"][0]["values"].pop(),
    ),
    Planted(
        "the Kubernetes API for training",
        "reach",
        "training head -> API server 6443/TCP: is open",
        lambda d: policy(d, "autoscaler")["podSelector"]["matchLabels"].pop(
            "app.kubernetes.io/component"
        ),
    ),
    Planted(
        "a CronJob that asks nobody",
        "reach",
        "schedule -> API server 6443/TCP: is shut",
        lambda d: drop(d, "NetworkPolicy", "rayrank-submitter"),
    ),
    Planted(
        "credentials of the machine",
        "reach",
        "schedule -> cloud's metadata 443/TCP: is open",
        lambda d: policy(d, "submitter")["egress"][0]["to"][0]["ipBlock"].pop("except"),
    ),
    Planted(
        "a scheduled pod in the training cluster's island",
        "house",
        "labels are",
        lambda d: pod_of(d, "CronJob").labels.update({"app.kubernetes.io/component": "training"}),
    ),
    Planted(
        "a namespace of its own",
        "house",
        "has a namespace",
        lambda d: one(d, "ConfigMap")["metadata"].update(namespace="rayrank"),
    ),
]
