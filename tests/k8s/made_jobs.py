"""The RayJobs that are made from a RayCronJob: by our CronJob's pod, or by KubeRay itself."""

import copy

from rayrank.run.rayjob import OF_TEMPLATE, rayjob

from .objects import Object

# Kubernetes names a CronJob's Job by its minutes since 1970, KubeRay the RayJobs of a RayCronJob.
MINUTES = "29375820"
# KubeRay submits from a Job that is called as the RayJob is: ours must be called otherwise than the
# CronJob's, or the one that is there would be taken for KubeRay's own.
SUFFIX = "-run"


def made_job(template: Object) -> Object:
    """As it reaches the API server."""
    known = copy.deepcopy(template)
    known["metadata"]["uid"] = "0b7a9f60-3a52-4a5c-9c1c-2f9f6e1a7f10"
    job = rayjob(known, f"{template['metadata']['name']}-{MINUTES}{SUFFIX}")
    if not template["spec"].get("suspend"):
        # KubeRay makes it: without the template's labels.
        job["metadata"]["name"] = f"{template['metadata']['name']}-{MINUTES}"
        job["metadata"]["labels"] = {OF_TEMPLATE: template["metadata"]["name"]}
    return job
