"""Submits a RayJob as the jobTemplate of a RayCronJob has it, the way KubeRay's own controller does
where its feature gate is on: what the CronJob of k8s/base runs.

    python -m rayrank.run.rayjob --template rayrank-daily --name rayrank-daily-29375820

The RayJob gets the template's labels, and goes when the template is deleted. One that is there
under its name is left alone; where another of the template's has not ended nothing is submitted,
since two would work on one run."""

import argparse
import os
import ssl
import sys
from pathlib import Path
from typing import Any

import httpx

from rayrank.errors import RayrankError

Object = dict[str, Any]

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where Kubernetes mounts a pod's token, its namespace, and whom to trust."""
OF_TEMPLATE = "ray.io/cronjob-name"
"""KubeRay's label of RayJobs that were made from a RayCronJob."""
ENDED = ("Complete", "Failed", "ValidationFailed")
"""A RayJob's `jobDeploymentStatus` while nothing of it runs, and nothing will."""
PATIENCE_S = 30.0


def rayjob(template: Object, name: str) -> Object:
    """The RayJob of that name that a RayCronJob, as the API server has it, describes."""
    of, metadata = template["metadata"]["name"], template["metadata"]
    return {
        "apiVersion": template["apiVersion"],
        "kind": "RayJob",
        "metadata": {
            "name": name,
            "labels": {**metadata.get("labels", {}), OF_TEMPLATE: of},
            "ownerReferences": [
                {
                    "apiVersion": template["apiVersion"],
                    "kind": template["kind"],
                    "name": of,
                    "uid": metadata["uid"],
                }
            ],
        },
        "spec": template["spec"]["jobTemplate"],
    }


def submit(api: httpx.Client, namespace: str, of: str, name: str) -> str:
    """Make it, unless it is there or another one has not ended; what was done. Raises RayrankError
    where another has not ended, or the API server refuses."""
    place = f"/apis/ray.io/v1/namespaces/{namespace}"
    template = _answer(api.get(f"{place}/raycronjobs/{of}"))
    made = _answer(api.get(f"{place}/rayjobs", params={"labelSelector": f"{OF_TEMPLATE}={of}"}))
    state = {
        job["metadata"]["name"]: job.get("status", {}).get("jobDeploymentStatus") or "New"
        for job in made["items"]
    }
    if name in state:
        return f"RayJob {name} is there already: {state[name]}"
    running = [f"{other} ({said})" for other, said in state.items() if said not in ENDED]
    if running:
        raise RayrankError(f"not submitted: {', '.join(running)} has not ended")
    _answer(api.post(f"{place}/rayjobs", json=rayjob(template, name)))
    return f"RayJob {name} is submitted"


def _answer(answer: httpx.Response) -> Object:
    if answer.is_success:
        content: Object = answer.json()
        return content
    request = answer.request
    raise RayrankError(
        f"{request.method} {request.url.path}: {answer.status_code}, {answer.text.strip():.500}"
    )


def main() -> None:
    """Ends with status 1 where it was not submitted."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--template", required=True, help="the RayCronJob's name")
    parser.add_argument("--name", required=True, help="the RayJob's")
    parser.add_argument("--account", type=Path, default=ACCOUNT, help="folder of token and ca.crt")
    told = parser.parse_args()
    host, port = (os.environ[f"KUBERNETES_SERVICE_{part}"] for part in ("HOST", "PORT"))
    headers = {"Authorization": f"Bearer {(told.account / 'token').read_text().strip()}"}
    with httpx.Client(
        base_url=f"https://{host}:{port}",
        headers=headers,
        verify=ssl.create_default_context(cafile=told.account / "ca.crt"),
        timeout=PATIENCE_S,
    ) as api:
        try:
            namespace = (told.account / "namespace").read_text().strip()
            print(submit(api, namespace, told.template, told.name))
        except (RayrankError, httpx.HTTPError) as error:
            sys.exit(str(error))


if __name__ == "__main__":
    main()
