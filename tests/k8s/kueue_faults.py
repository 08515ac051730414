"""What Kueue demands of what is in a queue, and whether its queues take it."""

from collections.abc import Iterator
from fractions import Fraction

from .made_jobs import made_job
from .objects import Object, of_kind, title
from .quantities import amount, quantity_faults
from .ray_groups import needs

QUEUE = "kueue.x-k8s.io/queue-name"
VOLCANO = "volcano.sh/queue-name"
NAMESPACE = {"kubernetes.io/metadata.name": "rayrank"}
# A place more is the submitter's.
MOST_GROUPS = 7


def queue_of(document: Object) -> str | None:
    name: str | None = document["metadata"].get("labels", {}).get(QUEUE)
    return name


def demand_faults(document: Object) -> list[str]:
    """Kueue's own refusals of a RayJob: it must be able to suspend it, and to count on its end."""
    if document["kind"] == "ClusterQueue":
        return quota_faults(document)
    if document["kind"] != "RayJob" or queue_of(document) is None:
        return []
    spec = document["spec"]
    cluster = spec.get("rayClusterSpec", {})
    refusals = {
        "needs shutdownAfterJobFinishes": not spec.get("shutdownAfterJobFinishes"),
        "not with clusterSelector": spec.get("clusterSelector"),
        "not with the autoscaler": cluster.get("enableInTreeAutoscaling"),
        f"at most {MOST_GROUPS} groups": len(cluster.get("workerGroupSpecs", [])) > MOST_GROUPS,
    }
    return [f"$: Kueue: {refusal}" for refusal, so in refusals.items() if so]


def quota_faults(queue: Object) -> list[str]:
    found = []
    for group in queue["spec"].get("resourceGroups", []):
        covered = group["coveredResources"]
        for flavor in group["flavors"]:
            quotas = {r["name"]: r["nominalQuota"] for r in flavor["resources"]}
            where = f"$.spec: flavor {flavor['name']!r}"
            found += quantity_faults(quotas, where)
            if list(quotas) != covered:
                found.append(f"{where}: its resources are not {covered}")
    return found


def kueue_faults(documents: list[Object]) -> list[str]:
    found = [*scheduler_faults(documents), *flavor_faults(documents)]
    for document in of_kind(documents, "RayCronJob"):
        job = made_job(document)
        name = queue_of(job)
        if name is not None:
            found += [f"{title(document)}: {f}" for f in room_faults(documents, job, name)]
    return found


def scheduler_faults(documents: list[Object]) -> Iterator[str]:
    """Queues are for what is made from the template, and one scheduler has the say."""
    for document in of_kind(documents, "RayCronJob"):
        told = document["metadata"].get("labels", {}).keys() & {QUEUE, VOLCANO}
        if told - made_job(document)["metadata"]["labels"].keys():
            yield f"{title(document)}: KubeRay gives its RayJobs no label of a queue"
        if len(told) > 1:
            yield f"{title(document)}: Kueue and Volcano"


def flavor_faults(documents: list[Object]) -> Iterator[str]:
    flavors = {document["metadata"]["name"] for document in of_kind(documents, "ResourceFlavor")}
    queues = {document["metadata"]["name"] for document in of_kind(documents, "ClusterQueue")}
    used = {queue_of(made_job(document)) for document in of_kind(documents, "RayCronJob")}
    for document in of_kind(documents, "ClusterQueue"):
        # Without a selector it takes nobody's jobs.
        if document["spec"].get("namespaceSelector") != {"matchLabels": NAMESPACE}:
            yield f"{title(document)}: is not for {NAMESPACE}"
        for group in document["spec"].get("resourceGroups", []):
            for flavor in group["flavors"]:
                if flavor["name"] not in flavors:
                    yield f"{title(document)}: no ResourceFlavor {flavor['name']!r}"
    for document in of_kind(documents, "LocalQueue"):
        if document["spec"].get("clusterQueue") not in queues:
            yield f"{title(document)}: its ClusterQueue is not there"
        if document["metadata"]["name"] not in used:
            yield f"{title(document)}: nothing is in it"


def room_faults(documents: list[Object], job: Object, name: str) -> Iterator[str]:
    """A job that wants more than the whole quota waits for ever."""
    local = [d for d in of_kind(documents, "LocalQueue") if d["metadata"]["name"] == name]
    if not local:
        yield f"there is no queue {name!r}"
        return
    shared = local[0]["spec"].get("clusterQueue")
    for queue in of_kind(documents, "ClusterQueue"):
        if queue["metadata"]["name"] != shared:
            continue
        wanted, quotas = needs(job), _quotas(queue)
        for resource, much in wanted.items():
            if much and much > quotas.get(resource, 0):
                yield f"wants {float(much):g} of {resource}, more than {title(queue)} has"


def _quotas(queue: Object) -> dict[str, Fraction]:
    found: dict[str, Fraction] = {}
    for group in queue["spec"].get("resourceGroups", []):
        for flavor in group["flavors"]:
            for resource in flavor["resources"]:
                much = amount(resource["nominalQuota"])
                found[resource["name"]] = found.get(resource["name"], Fraction(0)) + much
    return found
