"""The RayJobs that are made from a RayCronJob: by our CronJob's pod, or by KubeRay itself."""

import copy

from rayrank.run.rayjob import OF_TEMPLATE, rayjob

from .objects import Object

# Kubernetes gives a CronJob's Job its minutes since 1970, and our pod the RayJob the same name;
# KubeRay has them too.
MINUTES = "29375820"


def made_job(template: Object) -> Object:
    """As it reaches the API server."""
    known = copy.deepcopy(template)
    known["metadata"]["uid"] = "0b7a9f60-3a52-4a5c-9c1c-2f9f6e1a7f10"
    job = rayjob(known, f"{template['metadata']['name']}-{MINUTES}")
    if not template["spec"].get("suspend"):
        # KubeRay makes it: without the template's labels.
        job["metadata"]["labels"] = {OF_TEMPLATE: template["metadata"]["name"]}
    return job
