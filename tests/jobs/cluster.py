"""A cluster on which a data set of one's own was trained, and the endpoint deployed on it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import pyarrow as pa
from rayrank.run.config import load_config
from rayrank.run.run import Run
from rayrank.serve.replay import Request

from ..clusters import Head

# Keys in a file end at white space.
KEY = "a-key-that-only-this-test-knows"
PLANTED = {
    "AWS_SECRET_ACCESS_KEY": "planted secret of an object store",
    "AWS_SESSION_TOKEN": "planted token of an object store",
    "REDIS_PASSWORD": "planted password of redis",
    "MLFLOW_TRACKING_PASSWORD": "planted password of mlflow",
}
"""Secrets in the environment of every process of the cluster, as pods might have them."""


@dataclass(frozen=True)
class Trained:
    """A cluster on which the whole pipeline has run."""

    head: Head
    work: Path
    entrypoint: list[str]
    said: str

    @property
    def run(self) -> Run:
        return Run(load_config(self.work / "jobs" / "cluster.yaml", []))

    def submit(self, entrypoint: Sequence[str]) -> str:
        return submit(self.head, self.work, entrypoint)


def submit(head: Head, work: Path, entrypoint: Sequence[str]) -> str:
    """`ray job submit`, under a name of its own; what the job said."""
    named = ("--metadata-json", json.dumps({"job_name": "podcasts"}))
    return head.run("ray", "job", "submit", "--working-dir", str(work), *named, "--", *entrypoint)


@dataclass(frozen=True)
class Endpoint:
    """The deployed application, and requests that work."""

    url: str
    requests: list[Request]
    scored: pa.Table

    def post(self, content: bytes | str, key: str = KEY) -> httpx.Response:
        return httpx.post(
            f"{self.url}/v1/rank",
            content=content,
            timeout=30,
            headers={"Authorization": f"Bearer {key}"},
        )

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", headers={"Authorization": f"Bearer {KEY}"})

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz").status_code == 200
        except httpx.HTTPError:
            return False
