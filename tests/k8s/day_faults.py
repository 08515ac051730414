"""What we ask of the day's job: it starts once a night, ends in any case, and clears up."""

from collections.abc import Iterator

from rayrank.run.rayjob import PATIENCE_S

from .kueue_faults import queue_of
from .made_jobs import SUFFIX, made_job
from .objects import Object, job_of, of_kind, pods, title

DAY_S, HOUR_S, MINUTE_S = 86400, 3600, 60
SUBMIT = ["python", "-m", "rayrank.run.rayjob"]
JOB_NAME = {
    "name": "JOB_NAME",
    "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['batch.kubernetes.io/job-name']"}},
}


def day_faults(document: Object) -> Iterator[str]:
    spec = job_of(document)
    yield from end_faults(spec)
    if queue_of(made_job(document)) is not None:
        yield from shutdown_faults(spec)
    else:
        yield from deletion_faults(spec)
    if spec.get("metadata") != {"job_name": document["metadata"]["name"]}:
        yield f"metadata is {spec.get('metadata')}, not the job_name of the dashboard"
    if spec.get("submissionMode", "K8sJobMode") != "K8sJobMode":
        yield f"submissionMode is {spec['submissionMode']}"
    submitters = list(pods(spec.get("submitterPodTemplate", {})))
    if [c["name"] for pod in submitters for c in pod.containers] != ["ray-job-submitter"]:
        # Without a template of ours the operator has its own, without limits and labels.
        yield "there must be a submitter, of one container that is ray-job-submitter"
    if any(pod.spec.get("restartPolicy") != "Never" for pod in submitters):
        yield "the submitter is tried again by its Job, in a pod of its own"


def end_faults(spec: Object) -> Iterator[str]:
    """A job that hangs gives its machines back before the next night; without a place sooner."""
    deadline, before = spec.get("activeDeadlineSeconds"), spec.get("preRunningDeadlineSeconds")
    if not spec.get("backoffLimit"):
        yield "backoffLimit is 0: a lost head ends the day, though another would go on with it"
    if not deadline or not HOUR_S <= deadline < DAY_S:
        yield f"activeDeadlineSeconds is {deadline}"
    if not before or not deadline or before >= deadline:
        yield f"preRunningDeadlineSeconds is {before}: pods that find no place wait unseen"


def deletion_faults(spec: Object) -> Iterator[str]:
    """Machines are given back within the hour; a failed job's head stays a while, and all objects
    for long enough to be asked about, and not for ever."""
    times: dict[str, dict[str, int]] = {}
    for rule in spec.get("deletionStrategy", {}).get("deletionRules", []):
        condition = rule["condition"]
        status = condition.get("jobStatus") or condition.get("jobDeploymentStatus")
        times.setdefault(status, {})[rule["policy"]] = condition.get("ttlSeconds", 0)
    if times.keys() != {"SUCCEEDED", "Failed"}:
        yield f"deletionRules are for {sorted(times)}: not for how a job ends"
        return
    done, failed = times["SUCCEEDED"], times["Failed"]
    if done.keys() != {"DeleteCluster", "DeleteSelf"}:
        yield f"of a job that is done: {done}"
    elif not MINUTE_S <= done["DeleteCluster"] <= HOUR_S:
        yield f"of a job that is done: {done}: machines within the hour, after a last scrape"
    if failed.keys() != {"DeleteWorkers", "DeleteCluster", "DeleteSelf"}:
        yield f"of a job that failed: {failed}"
    elif not MINUTE_S <= failed["DeleteWorkers"] <= HOUR_S <= failed["DeleteCluster"]:
        yield f"of a job that failed: {failed}: machines at once, logs later"
    for status, known in times.items():
        if known.get("DeleteSelf", DAY_S) < DAY_S:
            yield f"{status}: the object, which says what became of it, goes at once"


def shutdown_faults(spec: Object) -> Iterator[str]:
    """In Kueue's queue there are no rules."""
    if "deletionStrategy" in spec:
        yield "Kueue: deletionStrategy is exclusive with shutdownAfterJobFinishes"
    if not 0 < spec.get("ttlSecondsAfterFinished", 0) <= HOUR_S:
        yield "no time to read its logs in, or machines are kept for too long"


def submitter_faults(documents: list[Object]) -> Iterator[str]:
    """Either the CronJob's pod makes RayJobs of the template, or KubeRay does: one of them."""
    crons = of_kind(documents, "CronJob")
    for template in of_kind(documents, "RayCronJob"):
        name, spec = template["metadata"]["name"], template["spec"]
        if len(crons) > 1 or bool(spec.get("suspend")) is not bool(crons):
            yield f"{title(template)}: {len(crons)} CronJobs beside it: two jobs a night, or none"
        for cron in crons:
            for field in ("schedule", "timeZone"):
                if cron["spec"].get(field) != spec.get(field) or not spec.get(field):
                    yield f"{title(cron)}: {field} is not its template's"
            yield from (f"{title(cron)}: {fault}" for fault in cron_faults(cron, name))


def cron_faults(cron: Object, template: str) -> Iterator[str]:
    spec = cron["spec"]
    yield from attempt_faults(spec["jobTemplate"]["spec"])
    if cron["metadata"]["name"] != template:
        yield f"is not named as its template {template!r}"
    if spec.get("concurrencyPolicy") != "Forbid":
        yield f"concurrencyPolicy is {spec.get('concurrencyPolicy')}"
    if spec.get("suspend"):
        yield "is suspended"
    if not HOUR_S <= spec.get("startingDeadlineSeconds", DAY_S) < DAY_S:
        yield "a night that was missed is made up for the next night"
    for field in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        if spec.get(field, 1) < 1:
            yield f"{field}: nothing tells what was submitted"
    for pod in pods(spec):
        for container in pod.containers:
            wanted = [*SUBMIT, "--template", template, "--name", f"$(JOB_NAME){SUFFIX}"]
            if container.get("command") != wanted or container.get("args"):
                yield f"runs {container.get('command')}, not {wanted}"
            if container.get("env") != [JOB_NAME]:
                yield f"variables are {container.get('env')}"


def attempt_faults(job: Object) -> Iterator[str]:
    if not job.get("backoffLimit", 6):
        yield "backoffLimit is 0: one answer that is lost ends the night"
    # Two questions and a submission, as patient as they are, for each attempt and an image's pull.
    if job.get("activeDeadlineSeconds", DAY_S) >= HOUR_S:
        yield "a pod that finds no place waits for long"
    if job.get("activeDeadlineSeconds", DAY_S) < 3 * PATIENCE_S * (1 + job.get("backoffLimit", 6)):
        yield "its attempts have no time"
    if job.get("ttlSecondsAfterFinished", 0) < HOUR_S:
        yield "its Jobs go before their logs are read, or never"
