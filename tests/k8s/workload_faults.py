"""What an API server refuses of claims, and of what starts pods: CronJob, StatefulSet."""

from .cron import schedule_faults
from .names import DNS_1035, SUBDOMAIN, form_faults, metadata_faults, selector_faults, word_faults
from .network import selects
from .objects import Object
from .quantities import quantity, quantity_faults

# A Job is named after its CronJob and eleven characters, its pods after the Job.
CRON_JOB_NAME = 52
_NOT_NEGATIVE = (
    "startingDeadlineSeconds",
    "successfulJobsHistoryLimit",
    "failedJobsHistoryLimit",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "replicas",
    "minReadySeconds",
)


def claim_faults(claim: Object) -> list[str]:
    spec, where = claim["spec"], "$.spec"
    requests = spec.get("resources", {}).get("requests", {})
    found = quantity_faults(requests, f"{where}.resources.requests")
    if set(requests) != {"storage"} or quantity(requests["storage"]) == 0:
        found.append(f"{where}.resources.requests: storage alone, and some")
    if not spec.get("accessModes"):
        found.append(f"{where}.accessModes: none")
    if "storageClassName" in spec:
        found += form_faults(spec["storageClassName"], SUBDOMAIN, "a name", f"{where}.storageClass")
    return found + word_faults(spec, where)


def negative_faults(spec: Object, where: str) -> list[str]:
    return [f"{where}.{field}: negative" for field in _NOT_NEGATIVE if spec.get(field, 0) < 0]


def cron_job_faults(document: Object) -> list[str]:
    spec, name = document["spec"], document["metadata"]["name"]
    job = spec["jobTemplate"].get("spec", {})
    found = schedule_faults(spec) + word_faults(spec, "$.spec")
    if len(name) > CRON_JOB_NAME:
        found.append(f"$.metadata.name: longer than {CRON_JOB_NAME} characters")
    found += negative_faults(spec, "$.spec") + negative_faults(job, "$.spec.jobTemplate.spec")
    found += metadata_faults(spec["jobTemplate"].get("metadata", {}), "$.spec.jobTemplate")
    if job.get("activeDeadlineSeconds", 1) < 1:
        found.append("$.spec.jobTemplate.spec.activeDeadlineSeconds: not positive")
    pod = job.get("template", {}).get("spec", {})
    if pod.get("restartPolicy") not in ("OnFailure", "Never"):
        found.append("restartPolicy must be Never or OnFailure in a Job")
    return found


def stateful_faults(document: Object) -> list[str]:
    spec = document["spec"]
    labels = spec["template"].get("metadata", {}).get("labels", {})
    found = selector_faults(spec["selector"], "$.spec.selector")
    if not spec["selector"] or not selects(spec["selector"], labels):
        found.append("$.spec.selector: does not select the pods of its template")
    found += form_faults(spec.get("serviceName", ""), DNS_1035, "a Service's name", "$.spec")
    if spec["template"]["spec"].get("restartPolicy", "Always") != "Always":
        found.append("restartPolicy must be Always in a StatefulSet")
    for claim in spec.get("volumeClaimTemplates", []):
        metadata = claim.get("metadata", {})
        found += metadata_faults(metadata, "$.spec.volumeClaimTemplates")
        found += form_faults(metadata.get("name", ""), DNS_1035, "a name", "$.spec.claim")
        if "spec" not in claim:
            return [*found, "$.spec.volumeClaimTemplates: no spec"]
        found += claim_faults(claim)
    return found + negative_faults(spec, "$.spec")
