"""Two nights of the manifests: the RayCronJob's exact command, and what the RayService serves.

On a Ray of its own, made as the manifests have it: a token, a head without CPUs, workers (one more
for a replica that must move), and what the pods have in their environment. In parts, this is also
in tests/run/test_daily.py (what nights learn), test_endpoint.py (a service that follows), bench
(replicas that go) and tests/k8s (the manifests).
"""

import json
import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from rayrank.data.config import SimulateConfig
from rayrank.run.config import RunConfig
from rayrank.run.daily_outcome import read_decided
from rayrank.run.run import Run
from rayrank.versions import CURRENT, named_version

from bench.daily_log import write_log

from ..clusters import ROOT, Head, free_port, ray_head, said_by, wait_until
from ..effort import long_form
from ..run.daily import FIRST, NAME, SECOND, config
from .cluster import KEY, submit

pytestmark = long_form
BASE = ROOT / "k8s" / "base"


def manifest(file: str) -> Any:
    (document,) = yaml.safe_load_all((BASE / file).read_text())
    return document


@dataclass
class Night:
    """A cluster, the log, and what the job said in each night."""

    head: Head
    work: Path
    run: Run
    said: list[str]
    url: str
    versions: list[str]
    """That was current after each."""

    def asked(self, key: str | None = KEY) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.get(f"{self.url}/v1/models", headers=headers)

    def nodes(self) -> list[str]:
        """Of the replicas that run."""
        told = self.head.get("/api/serve/applications/").json()["applications"]["ranking"]
        replicas = told["deployments"]["RankingApp"]["replicas"]
        return [of["node_id"] for of in replicas if of["state"] == "RUNNING"]

    def serves(self) -> str | None:
        """The version that every replica of ten answers has."""
        try:
            answers = [self.asked() for _ in range(10)]
        except httpx.HTTPError:
            return None
        if any(answer.status_code != 200 for answer in answers):
            return None
        found = {answer.json()["models"][0]["version"] for answer in answers}
        return found.pop() if len(found) == 1 else None


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    work = tmp_path_factory.mktemp("nights")
    for folder in ("jobs", "serve_apps"):
        shutil.copytree(ROOT / folder, work / folder)
    runs, keys = work / "runs", work / "keys"
    keys.write_text(KEY)
    told = yaml.safe_dump(config(runs, day_gate=1.0)).replace(f"{runs}/run", f"{runs}/ranking")
    (work / "jobs" / "daily.yaml").write_text(told.replace(str(runs), "$RAYRANK_RUNS"))
    log, later = runs / "log", work / "later"
    write_log(log, SimulateConfig(users=400, days=3, mean_length=30))
    for table in ("exposures", "events"):
        (later / table).mkdir(parents=True)
        shutil.move(log / table / "day-3.parquet", later / table)
    entrypoint = shlex.split(manifest("raycronjob.yaml")["spec"]["jobTemplate"]["entrypoint"])
    with ray_head(
        cpus=0,
        workers=[2, 2, 1],
        PYTHONPATH=str(work),
        RAYRANK_RUNS=str(runs),
        RAYRANK_API_KEY_FILE=str(keys),
    ) as head:
        run = Run(RunConfig.model_validate(yaml.safe_load(told)))
        said = [submit(head, work, entrypoint)]
        first = str(named_version(run.folder.bundles, CURRENT))
        port = free_port()
        served = manifest("rayservice.yaml")["spec"]["serveConfigV2"]
        for here, there in (
            ("port: 8000", f"port: {port}"),
            ("keys_file: /etc/rayrank/keys/api-key", f"keys_file: {keys}"),
            ("version: current", "version: current\n      follow_s: 0.2"),
        ):
            assert here in served
            served = served.replace(here, there)
        # As the operator does it: it reads the text, and puts it to the dashboard.
        answer = httpx.put(
            f"{head.dashboard}/api/serve/applications/",
            headers={"Authorization": f"Bearer {head.token}"},
            content=json.dumps(yaml.safe_load(served)),
            timeout=60,
        )
        assert answer.status_code == 200, answer.text
        night = Night(head, work, run, said, f"http://127.0.0.1:{port}", [first])
        wait_until("the first night's bundle is served", lambda: night.serves() == first)
        for table in ("exposures", "events"):
            shutil.move(later / table / "day-3.parquet", log / table)
        said.append(submit(head, work, entrypoint))
        night.versions.append(str(named_version(run.folder.bundles, CURRENT)))
        yield night


def test_each_night_learns_what_is_new(night: Night) -> None:
    decided = read_decided(night.run, NAME)
    assert [str(outcome.day) for outcome in decided.outcomes] == [FIRST, SECOND]
    assert f"{FIRST}: no model before it" in night.said[0]
    assert f"{SECOND}: {NAME} goes on from the model of {FIRST}" in night.said[1]
    assert night.versions[0] != night.versions[1]


def test_the_running_service_follows(night: Night) -> None:
    """Nothing was deployed or applied again."""
    wait_until("the second night's is served", lambda: night.serves() == night.versions[1])


def test_without_its_key_nobody_is_answered(night: Night) -> None:
    assert [night.asked(key).status_code for key in (None, "another-key-0123456789", KEY)] == [
        401,
        401,
        200,
    ]
    assert httpx.get(f"{night.url}/healthz").status_code == 200


def test_without_the_token_nothing_can_be_run(night: Night) -> None:
    for path in ("/api/version", "/api/jobs/", "/api/serve/applications/"):
        assert httpx.get(f"{night.head.dashboard}{path}").status_code == 401, path


def test_no_secret_is_in_a_jobs_log(night: Night) -> None:
    for said in night.said:
        assert night.head.token not in said
        assert KEY not in said


def test_a_node_that_goes_hands_its_replica_over(night: Night) -> None:
    """What a pod runs before it stops; `make chaos-nodes` counts what is lost meanwhile."""
    wait_until("two replicas run", lambda: len(night.nodes()) == 2)
    goes, stays = night.nodes()
    environment = night.head.environment | {"RAY_ADDRESS": night.head.gcs}
    leave = ["-m", "rayrank.serve.leave", "--within-s", "120", "--node", goes]
    said = said_by([sys.executable, *leave], environment)
    assert f"node {goes} goes: 1 replicas of it are to move within 120 s" in said
    assert "0 replicas left there" in said
    assert len(night.nodes()) == 2
    assert stays in night.nodes()
    assert goes not in night.nodes()
    assert night.serves() == night.versions[1]
