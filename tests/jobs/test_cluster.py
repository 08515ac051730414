"""A data set of one's own, from files to HTTP scores on a cluster: jobs by `ray job submit`, the
RayJob's exact entrypoint, the endpoint by `serve deploy`, metrics by Ray's exporter."""

import json
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
import yaml
from rayrank.data.row_stats import read_stats
from rayrank.data.source import open_log
from rayrank.evaluate.run import read_scores
from rayrank.run.config import load_config
from rayrank.serve.check import check
from rayrank.serve.replay import Request, replay

from ..clusters import ROOT, Head, free_port, ray_head, wait_until
from .podcasts import write_podcasts

KEY = "a key that only this test knows"


@dataclass(frozen=True)
class Trained:
    """A cluster on which the RayJob's entrypoint has run."""

    head: Head
    work: Path
    said: str

    @property
    def run_dir(self) -> Path:
        return self.work / "run"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    work = tmp_path_factory.mktemp("work")
    for folder in ("jobs", "serve_apps"):
        shutil.copytree(ROOT / folder, work / folder)
    write_podcasts(work / "log")
    (work / "configs").mkdir()
    (work / "configs" / "cluster.yaml").write_text(
        yaml.safe_dump(
            {
                "run_dir": str(work / "run"),
                "data": {"source": "parquet", "path": str(work / "log"), "partitions": 2},
                "rankers": {
                    "mtgr": {
                        "model": {
                            "kind": "mtgr",
                            "d_model": 32,
                            "heads": 2,
                            "embedding_std": 0.5,
                            "attention_length": 16,
                        },
                        "train": {
                            "epochs": 4,
                            "max_cost": 200,
                            "learning_rate": 1e-2,
                            "table_learning_rate": 0.1,
                            "warmup_steps": 5,
                        },
                    }
                },
                "evaluate": {"bootstrap_samples": 5},
            }
        )
    )
    (job,) = [
        entry
        for entry in yaml.safe_load_all((ROOT / "k8s" / "base" / "rayjob.yaml").read_text())
        if entry["kind"] == "RayJob"
    ]
    with ray_head(PYTHONPATH=str(work), RAYRANK_API_KEY=KEY) as head:
        said = head.run(
            "ray",
            "job",
            "submit",
            "--working-dir",
            str(work),
            "--",
            *shlex.split(job["spec"]["entrypoint"]),
        )
        yield Trained(head, work, said)


def test_jobs_say_what_they_did(trained: Trained) -> None:
    assert "1,200 exposures" in trained.said
    metrics = json.loads((trained.run_dir / "eval" / "metrics.json").read_text())
    assert metrics["rankers"]["mtgr"]["finish"]["gauc"] > 0.6
    assert (trained.run_dir / "bundle" / "manifest.json").exists()


def test_a_wrong_config_is_told_without_a_traceback(trained: Trained) -> None:
    with pytest.raises(AssertionError) as refused:
        trained.head.run(
            "ray",
            "job",
            "submit",
            "--working-dir",
            str(trained.work),
            "--",
            "python",
            "jobs/build_rows.py",
            "--config",
            "configs/cluster.yaml",
            "data.partition=3",
        )
    assert "data.partition: unknown key" in str(refused.value)
    assert "Traceback" not in str(refused.value)


def test_the_dashboard_demands_the_token(trained: Trained) -> None:
    assert httpx.get(f"{trained.head.dashboard}/api/version").status_code == 401
    assert trained.head.get("/api/version").status_code == 200


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

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz").status_code == 200
        except httpx.HTTPError:
            return False


@pytest.fixture(scope="module")
def endpoint(trained: Trained) -> Endpoint:
    deployed = yaml.safe_load((ROOT / "serve_apps" / "ranking.yaml").read_text())
    deployed["http_options"].update(host="127.0.0.1", port=free_port())
    deployed["applications"][0]["args"]["bundle"] = str(trained.run_dir / "bundle")
    config = trained.work / "ranking.yaml"
    config.write_text(yaml.safe_dump(deployed))
    trained.head.run("serve", "deploy", str(config))

    run = load_config(trained.work / "configs" / "cluster.yaml", [])
    log, schema = open_log(run.data, run.run_dir)
    scored = read_scores(run.run_dir, "mtgr")
    users = scored["user"].combine_chunks().unique()[:20]
    requests = replay(
        log, schema, users, read_stats(run.run_dir / "rows").split_times_ms, run.data.max_history
    )
    found = Endpoint(f"http://127.0.0.1:{deployed['http_options']['port']}", requests, scored)
    wait_until("the endpoint is healthy", found.answers)
    return found


def test_served_scores_are_the_trainers(trained: Trained, endpoint: Endpoint) -> None:
    run = load_config(trained.work / "configs" / "cluster.yaml", [])
    _, schema = open_log(run.data, run.run_dir)
    found = check(
        endpoint.url,
        KEY,
        endpoint.requests,
        endpoint.scored,
        schema,
        lambda done, of: None,
        concurrency=4,
    )
    assert found.requests == len(endpoint.requests) >= 20
    assert found.max_abs_diff <= 1e-4


def changed(request: Request, path: str, value: Any) -> str:
    """A request with one value replaced, as JSON (in which Python writes NaN)."""
    copy = json.loads(json.dumps(request))
    *outer, last = path.split(".")
    place = copy
    for key in outer:
        place = place[key]
    place[last] = value
    return json.dumps(copy)


def test_bad_requests_are_refused_by_name(endpoint: Endpoint) -> None:
    good = next(r for r in endpoint.requests if len(r["candidates"]["item"]) >= 2)
    shown = len(good["candidates"]["item"])
    many = {name: values[:1] * 10_000 for name, values in good["candidates"].items()}
    minutes = [float("nan"), *good["candidates"]["minutes"][1:]]
    bad = [
        ("{not json", 400, "(body)"),
        (changed(good, "candidates.colour", ["red"] * shown), 422, "candidates.colour"),
        (changed(good, "colour", "red"), 422, "colour"),
        (changed(good, "candidates.minutes", minutes), 422, "candidates.minutes"),
        (changed(good, "candidates", many), 413, "candidates.item"),
        (
            changed(good, "candidates", {name: [] for name in good["candidates"]}),
            422,
            "candidates.item",
        ),
        (changed(good, "candidates.episode", list(range(shown))), 422, "candidates.episode"),
    ]
    for body, status, field in bad:
        answer = endpoint.post(body)
        assert (answer.status_code, answer.json()["error"]["field"]) == (status, field), body[:200]
        after = endpoint.post(json.dumps(good))
        assert after.status_code == 200
        assert len(after.json()["scores"]["finish"]) == shown


def test_every_route_but_health_demands_the_key(endpoint: Endpoint) -> None:
    good = json.dumps(endpoint.requests[0])
    assert endpoint.post(good, key="a wrong key of some length").status_code == 401
    assert httpx.post(f"{endpoint.url}/v1/rank", content=good).status_code == 401
    assert httpx.get(f"{endpoint.url}/v1/models").status_code == 401
    assert httpx.get(f"{endpoint.url}/healthz").status_code == 200
    models = httpx.get(f"{endpoint.url}/v1/models", headers={"Authorization": f"Bearer {KEY}"})
    assert models.json()["models"][0]["tasks"] == ["finish"]
    for hidden in ("/docs", "/openapi.json", "/redoc"):
        assert httpx.get(f"{endpoint.url}{hidden}").status_code == 404


def test_too_large_a_body_is_refused(endpoint: Endpoint) -> None:
    answer = endpoint.post(b" " * (5 << 20))
    assert answer.status_code == 413


def test_metrics_reach_prometheus(trained: Trained, endpoint: Endpoint) -> None:
    """Through the exporter, at the addresses that Ray writes down for Prometheus."""
    endpoint.post(json.dumps(endpoint.requests[0]))
    wanted = ["ray_rayrank_requests_total", "ray_rayrank_request_ms"]

    def scraped(address: str) -> str:
        try:
            return httpx.get(f"http://{address}/metrics").text
        except httpx.HTTPError:  # a component that has not started to listen yet
            return ""

    def exported() -> bool:
        targets = json.loads(trained.head.targets.read_text())
        text = "".join(scraped(address) for group in targets for address in group["targets"])
        return all(name in text for name in wanted)

    wait_until(f"metrics {wanted}", exported, seconds=60)
