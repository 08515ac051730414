"""Mistakes in the day's job and in who submits it, in queues, in rights."""

from .plant import Planted, day, deployment, drop, first, group, one, override, pod_of, rules, spec

DAY = [
    Planted(
        "a template that runs beside the CronJob",
        "ray",
        "1 CronJobs beside it: two jobs a night",
        lambda d: spec(d, "RayCronJob").update(suspend=False),
    ),
    Planted(
        "a template that nobody submits",
        "ray",
        "0 CronJobs beside it",
        lambda d: drop(d, "CronJob", "rayrank-daily"),
    ),
    Planted(
        "KubeRay's cron and ours",
        "ray",
        "0 CronJobs beside it",
        lambda d: spec(d, "RayCronJob").update(suspend=True),
        "gpu raycronjob",
    ),
    Planted(
        "two nights at once",
        "ray",
        "concurrencyPolicy is Allow",
        lambda d: spec(d, "CronJob").update(concurrencyPolicy="Allow"),
    ),
    Planted(
        "another hour than the template's",
        "ray",
        "schedule is not its template's",
        lambda d: spec(d, "CronJob").update(schedule="30 3 * * *"),
    ),
    Planted(
        "a month of thirteen",
        "server",
        "is not a schedule",
        lambda d: spec(d, "CronJob").update(schedule="30 2 * 13 *"),
    ),
    Planted(
        "another template",
        "ray",
        "'--template', 'rayrank-daily'",
        lambda d: first(pod_of(d, "CronJob"))["command"].__setitem__(4, "rayrank-nightly"),
    ),
    Planted(
        "the name of KubeRay's own Job",
        "ray",
        "'$(JOB_NAME)-run'",
        lambda d: first(pod_of(d, "CronJob"))["command"].__setitem__(6, "$(JOB_NAME)"),
    ),
    Planted(
        "a variable that is not there",
        "server",
        "there is no variable 'JOB_NAME'",
        lambda d: first(pod_of(d, "CronJob"))["env"][0].update(name="JOB"),
    ),
    Planted(
        "more rights than it needs",
        "house",
        "its rules are",
        lambda d: one(d, "Role")["rules"][1]["verbs"].append("delete"),
    ),
    Planted(
        "rights for everybody",
        "house",
        "subjects are",
        lambda d: one(d, "RoleBinding")["subjects"].append(
            {"kind": "ServiceAccount", "name": "rayrank"}
        ),
    ),
    Planted(
        "the submitter's rights in the job",
        "house",
        "service account is rayrank-submitter, not rayrank",
        lambda d: day(d)["submitterPodTemplate"]["spec"].update(
            serviceAccountName="rayrank-submitter"
        ),
    ),
    Planted(
        "a lost head that ends the day",
        "ray",
        "backoffLimit is 0",
        lambda d: day(d).update(backoffLimit=0),
    ),
    Planted(
        "a wait as long as the job",
        "ray",
        "preRunningDeadlineSeconds is 21600",
        lambda d: day(d).update(preRunningDeadlineSeconds=21600),
    ),
    Planted(
        "a job into the next night",
        "ray",
        "activeDeadlineSeconds is 90000",
        lambda d: day(d).update(activeDeadlineSeconds=90000),
    ),
    Planted(
        "the cluster before its workers",
        "server",
        "DeleteCluster at Failed: before DeleteWorkers",
        lambda d: rules(d)[2]["condition"].update(ttlSeconds=90000),
    ),
    Planted(
        "machines of a failed job",
        "ray",
        "of a job that failed",
        lambda d: rules(d).pop(2),
    ),
    Planted(
        "two ways to clear up",
        "server",
        "rules not with shutdownAfterJobFinishes",
        lambda d: day(d).update(shutdownAfterJobFinishes=True),
    ),
    Planted(
        "a refused day that fails the job",
        "paths",
        "are not ['--day', 'new', '--refused-status', '0']",
        lambda d: day(d).update(entrypoint=day(d)["entrypoint"].replace("status 0", "status 3")),
    ),
    Planted(
        "days kept back from themselves",
        "paths",
        "data.split keeps rows",
        lambda d: override(d, "data.split.test=0.1"),
    ),
    Planted(
        "Kueue beside deletionRules",
        "server",
        "Kueue: needs shutdownAfterJobFinishes",
        lambda d: one(d, "RayCronJob")["metadata"]["labels"].update(
            {"kueue.x-k8s.io/queue-name": "rayrank"}
        ),
    ),
    Planted(
        "a queue that is not there",
        "kueue",
        "no queue 'night'",
        lambda d: one(d, "RayCronJob")["metadata"]["labels"].update(
            {"kueue.x-k8s.io/queue-name": "night"}
        ),
        "gpu kueue",
    ),
    Planted(
        "a job larger than its queue",
        "kueue",
        "more than ClusterQueue/rayrank has",
        lambda d: spec(d, "ClusterQueue")["resourceGroups"][0]["flavors"][0]["resources"][2].update(
            nominalQuota="4"
        ),
        "gpu kueue",
    ),
    Planted(
        "Kueue and an autoscaler",
        "server",
        "Kueue: not with the autoscaler",
        lambda d: day(d)["rayClusterSpec"].update(enableInTreeAutoscaling=True),
        "gpu kueue",
    ),
    Planted(
        "more ranks than GPUs",
        "sums",
        "16 training workers on GPUs, 8 GPUs",
        lambda d: override(d, "rankers.mtgr.train.workers=16"),
        "gpu",
    ),
    Planted(
        "GPUs that idle",
        "sums",
        "4 training workers on GPUs, 8 GPUs",
        lambda d: override(d, "rankers.mtgr.train.workers=4"),
        "gpu",
    ),
    Planted(
        "fewer partitions than CPUs",
        "sums",
        "8 partitions, 60 CPUs that build rows",
        lambda d: override(d, "data.partitions=8"),
        "gpu",
    ),
    Planted(
        "rows on the GPUs' machine alone",
        "sums",
        "no group without GPUs",
        lambda d: day(d)["rayClusterSpec"]["workerGroupSpecs"].pop(),
        "gpu",
    ),
    Planted(
        "a replica without its GPU",
        "sums",
        "1 GPUs, of which replicas use 0",
        lambda d: deployment(d, ray_actor_options={"num_cpus": 6}),
        "gpu",
    ),
    Planted(
        "an operator's group twice",
        "server",
        "group 'rows': twice",
        lambda d: group(d, "RayCronJob").update(groupName="rows"),
        "gpu",
    ),
]
