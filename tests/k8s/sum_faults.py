"""What the job wants of CPUs, GPUs and memory is what its pods have."""

from collections.abc import Iterator
from fractions import Fraction

from .as_run import run_pods
from .job_config import read_job
from .objects import Object, cluster_of, of_kind, pods, ray_documents, title
from .quantities import GI, amount
from .ray_groups import Group, ray_groups
from .readme_table import needs_faults
from .serving_sums import NODE, PROCESS, serving_faults

# The head's: GCS, dashboard and its agents, job drivers.
HEAD = 2 * GI
# Of other pods: a client in Python, or a small server.
SMALL = GI // 4
# Of rows, checkpoints and bundles of the smallest run; of what Redis keeps.
STORAGE = GI
# Ray's share of a node's memory for objects; it has them in /dev/shm.
OBJECTS = Fraction(3, 10)
# The smallest /tmp for sessions, logs and what does not fit into memory.
SPILL = 5 * GI


def sum_faults(documents: list[Object]) -> list[str]:
    found = []
    for document in ray_documents(documents):
        groups = ray_groups(cluster_of(document))
        faults = [*memory_faults(groups), *disk_faults(document)]
        if document["kind"] == "RayCronJob":
            faults += training_faults(document, documents, groups[1:])
        if document["kind"] == "RayService":
            faults += serving_faults(document, groups[1:])
        found += [f"{title(document)}: {fault}" for fault in faults]
    for document in documents:
        found += [f"{title(document)}: {fault}" for fault in small_faults(document)]
    claims = {title(claim): claim for claim in of_kind(documents, "PersistentVolumeClaim")}
    for document in of_kind(documents, "StatefulSet"):
        claims |= {title(document): c for c in document["spec"].get("volumeClaimTemplates", [])}
    for name, claim in claims.items():
        if amount(claim["spec"]["resources"]["requests"]["storage"]) < STORAGE:
            found.append(f"{name}: its claim is too small")
    return [*found, *needs_faults(documents)]


def memory_faults(groups: list[Group]) -> Iterator[str]:
    for group in groups:
        least = HEAD if group.is_head else NODE + PROCESS * max(1, group.cpus)
        if group.memory < least:
            has, wants = (f"{float(m / GI):.2f} GiB" for m in (group.memory, Fraction(least)))
            yield f"{group.name}: {has} of memory; it wants {wants}"
        if group.shared_memory is None:
            continue
        # What is written there is of the pod's memory, beside its processes.
        if group.shared_memory + least > group.memory:
            yield f"{group.name}: /dev/shm may take what its processes want"
        if group.shared_memory < OBJECTS * group.memory:
            yield f"{group.name}: Ray's objects do not fit into /dev/shm, and lie on disk"


def disk_faults(document: Object) -> Iterator[str]:
    for pod in pods(cluster_of(document)):
        for name, volume in pod.volumes.items():
            limit = volume.get("emptyDir", {}).get("sizeLimit")
            if limit is not None and amount(limit) < SPILL:
                yield f"volume {name!r}: {limit} for Ray's logs and spilled objects"


def small_faults(document: Object) -> Iterator[str]:
    """Of what is beside Ray: submitters, Redis, the autoscaler."""
    for pod in run_pods(document):
        for container in pod.containers:
            if amount(container["resources"]["limits"]["memory"]) < SMALL:
                yield f"{container['name']}: less than 0.25 GiB of memory"


def training_faults(
    document: Object, documents: list[Object], workers: list[Group]
) -> Iterator[str]:
    """On CPUs a pod for each rank, of which each has a CPU. On GPUs a GPU for each, in whole pods:
    within one NCCL finds NVLink; and rows are built beside them, on machines without."""
    job, _ = read_job(document, documents)
    if job is None:
        return
    ranker = next(iter(job.config.rankers.values()))
    wanted, on_gpus = ranker.train.workers, ranker.train.use_gpu
    having = [group for group in workers if group.gpus] if on_gpus else workers
    gpus = sum(group.least * group.gpus for group in workers)
    cpus = sum(group.least * group.cpus for group in having)
    if gpus != (wanted if on_gpus else 0):
        yield f"{wanted} training workers on {'GPUs' if on_gpus else 'CPUs'}, {gpus} GPUs"
    if cpus < wanted:
        yield f"{wanted} training workers, {cpus} CPUs"
    if not on_gpus and sum(group.least for group in workers) < wanted:
        yield f"{wanted} training workers, {sum(group.least for group in workers)} pods"
    builders = [group for group in workers if not group.gpus]
    if not builders:
        yield "no group without GPUs, where rows are built"
    rows = sum(group.least * group.cpus for group in builders)
    if (job.config.data.partitions or rows) < rows:
        yield f"{job.config.data.partitions} partitions, {rows} CPUs that build rows"
