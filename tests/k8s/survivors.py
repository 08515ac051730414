"""What passes of all mistakes that are tried, looked at one by one, and why it does no harm.

By kind, kind of mistake and place: regular expressions, each of which must still be needed.
"""

_METRICS = r".*\.containers\[0\]\.ports(\[\d\])?"

SURVIVORS = {
    # Names that nothing refers to.
    r"(NetworkPolicy|PodDisruptionBudget|RoleBinding) another: \.metadata\.name": "nobody names it",
    r"(CronJob|StatefulSet) another: .*\.containers\[0\]\.name": "what logs call it",
    r"Ray\w+ another: .*\.groupName": "a part of pods' names; nothing refers to it",
    r"Service (another|left out): .*\.ports\[0\]\.name": "a single port needs none",
    r"Service left out: .*\.targetPort": "it is the port's number, which is the pod's",
    # What Kubernetes, KubeRay or Ray fill in with the same.
    r"NetworkPolicy left out: .*\.ports\[\d\]\.protocol": "it is TCP unless said",
    r"StatefulSet left out: \.spec\.replicas": "it is 1 unless said",
    r"Ray\w+ left out: .*\.rayStartParams": "there is none in it; the operator gives its own",
    rf"Ray\w+ left out: {_METRICS}": "the metrics port: the operator adds it where it is not said",
    r"RayService left out: .*\.expirationSeconds": "it is an hour unless said",
    r"RayService left out: .*\.idleTimeoutSeconds": "it is a minute unless said",
    r"RayService left out: .*\.rayClusterDeletionDelaySeconds": "it is a minute unless said",
    r"StatefulSet left out: .*Probe\.(initialDelay|period)Seconds": (
        "0 and 10 s: Redis has three times ten seconds to answer in before it is started anew"
    ),
    # One more or less of what has room on both sides; bounds are checked.
    r"StatefulSet another: .*Probe\.\w+Seconds": "a second later",
    r"(CronJob|RayCronJob|RayService) another: .*Seconds(AfterFinished)?": "a second more",
    r"(CronJob|RayCronJob) another: .*\.backoffLimit": "one more attempt, which resumes",
    r"CronJob (another|left out): .*JobsHistoryLimit": "more or fewer to look back at, never none",
    r"PriorityClass another: \.value": "the order of the two is the same",
    # Words for people.
    r"PriorityClass another: \.description": "what people read",
}

# Where nothing is like it in the overlay for CPUs.
ELSEWHERE = {
    r"ConfigMap another: \.data\.RAYRANK_RUNS": "another folder of the bucket, for all pods",
}
