"""A data set of one's own, from files to HTTP scores on a cluster: jobs by `ray job submit`, the
RayJob's exact entrypoint, the endpoint by `serve deploy`, metrics by Ray's exporter."""

import json
import shlex
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
import yaml
from rayrank.data.row_stats import read_stats
from rayrank.embedding.tables import LocalTables
from rayrank.evaluate.run import SCORES, read_evaluation
from rayrank.infer.bundle import DENSE, load_bundle, read_manifest, write_bundle
from rayrank.model.build import parse_model_config
from rayrank.run.config import load_config
from rayrank.run.run import Run
from rayrank.serve.check import check
from rayrank.serve.replay import Request, replay
from rayrank.storage import files_in, read_parquet
from rayrank.versions import CURRENT, name_version, named_version

from ..clusters import ROOT, Head, free_port, ray_head, wait_until
from .podcasts import write_podcasts

KEY = "a key that only this test knows"


@dataclass(frozen=True)
class Trained:
    """A cluster on which the RayJob's entrypoint has run."""

    head: Head
    work: Path
    entrypoint: list[str]
    said: str

    @property
    def run(self) -> Run:
        return Run(load_config(self.work / "jobs" / "cluster.yaml", []))

    def submit(self, entrypoint: Sequence[str]) -> str:
        return submit(self.head, self.work, entrypoint)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    work = tmp_path_factory.mktemp("work")
    for folder in ("jobs", "serve_apps"):
        shutil.copytree(ROOT / folder, work / folder)
    write_podcasts(work / "log")
    (work / "jobs" / "cluster.yaml").write_text(
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
    entrypoint = shlex.split(job["spec"]["entrypoint"])
    with ray_head(PYTHONPATH=str(work), RAYRANK_API_KEY=KEY) as head:
        yield Trained(head, work, entrypoint, submit(head, work, entrypoint))


def submit(head: Head, work: Path, entrypoint: Sequence[str]) -> str:
    """`ray job submit`, under a name of its own; what the job said."""
    named = ("--metadata-json", json.dumps({"job_name": "podcasts"}))
    return head.run("ray", "job", "submit", "--working-dir", str(work), *named, "--", *entrypoint)


def test_jobs_say_what_they_did(trained: Trained) -> None:
    assert "1,200 exposures" in trained.said
    for said in ("requests over HTTP", "is current", "report.html"):
        assert said in trained.said
    evaluation = read_evaluation(trained.run.folder.evaluations)
    assert evaluation is not None
    assert evaluation.rankers["mtgr"]["finish"].gauc.value > 0.6
    assert evaluation.differences["item_rate"]["finish"].gauc.value < 0
    assert "<html" in trained.run.folder.report.read_text()


def test_no_secret_is_in_a_jobs_log(trained: Trained) -> None:
    """Ray's own token opens the cluster to whoever reads the log."""
    assert trained.head.token not in trained.said
    assert KEY not in trained.said


def test_a_job_run_again_has_nothing_to_do(trained: Trained) -> None:
    before = named_version(trained.run.folder.bundles, CURRENT)
    said = trained.submit(trained.entrypoint)
    for word in ("complete already", "trained already", "scored already", "checked already"):
        assert word in said
    assert named_version(trained.run.folder.bundles, CURRENT) == before


def test_the_dashboard_knows_the_job_and_the_training_by_name(trained: Trained) -> None:
    jobs = trained.head.get("/api/jobs/").json()
    assert any(job["metadata"].get("job_name") == "podcasts" for job in jobs)
    runs = trained.head.get("/api/train/v2/runs/v1").json()["train_runs"]
    assert any(run["name"].startswith("run-mtgr-") for run in runs), runs


def test_a_wrong_config_is_told_without_a_traceback(trained: Trained) -> None:
    with pytest.raises(AssertionError) as refused:
        trained.submit(
            ["python", "jobs/build_rows.py", "--config", "jobs/cluster.yaml", "data.partition=3"]
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

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", headers={"Authorization": f"Bearer {KEY}"})

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz").status_code == 200
        except httpx.HTTPError:
            return False


@pytest.fixture(scope="module")
def endpoint(trained: Trained) -> Endpoint:
    deployed = yaml.safe_load((ROOT / "serve_apps" / "ranking.yaml").read_text())
    deployed["http_options"].update(host="127.0.0.1", port=free_port())
    run = trained.run
    deployed["applications"][0]["args"].update(bundles=str(run.folder.bundles), follow_s=0.2)
    config = trained.work / "ranking.yaml"
    config.write_text(yaml.safe_dump(deployed))
    trained.head.run("serve", "deploy", str(config))

    log, schema = run.open_log()
    (scores,) = files_in(run.folder.evaluations / "mtgr", f"*/{SCORES}")
    scored = read_parquet(scores)
    users = scored["user"].combine_chunks().unique()[:20]
    times = read_stats(run.rows()).split_times_ms
    requests = replay(log, schema, users, times, run.config.data.max_history)
    found = Endpoint(f"http://127.0.0.1:{deployed['http_options']['port']}", requests, scored)
    wait_until("the endpoint is healthy", found.answers)
    return found


def test_served_scores_are_the_trainers(trained: Trained, endpoint: Endpoint) -> None:
    _, schema = trained.run.open_log()
    version = named_version(trained.run.folder.bundles, CURRENT)
    assert version is not None
    found = check(
        endpoint.url,
        KEY,
        endpoint.requests,
        endpoint.scored,
        schema,
        version,
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


def test_a_promotion_is_followed_and_a_damaged_bundle_is_not(
    trained: Trained, endpoint: Endpoint
) -> None:
    """Without a deploy; and what works goes on where the new version does not."""
    bundles = trained.run.folder.bundles
    first = named_version(bundles, CURRENT)
    assert first is not None
    manifest = read_manifest(bundles / first)
    bundle = load_bundle(bundles / first)
    tables = bundle.ranker.tables
    assert isinstance(tables, LocalTables)
    other = write_bundle(
        bundles,
        **{
            name: value
            for name, value in vars(manifest).items()
            if name not in ("format", "version", "schema_", "model", "sha256", "trained_steps")
        },
        schema=bundle.schema,
        model=parse_model_config(manifest.model),
        trained_steps=manifest.trained_steps + 1,
        dense=bundle.ranker.dense_state(),
        rows={name: tables.rows(name) for name in bundle.schema.tables},
    ).version

    def served() -> tuple[str, str | None]:
        content = endpoint.get("/v1/models").json()
        return content["models"][0]["version"], content["fault"]

    name_version(bundles, CURRENT, other)
    wait_until("the new version is served", lambda: served()[0] == other)
    damaged = Path(str(bundles)) / "0123456789ab"
    shutil.copytree(str(bundles / first), damaged)
    weights = bytearray((damaged / DENSE).read_bytes())
    weights[-1] ^= 1
    (damaged / DENSE).write_bytes(weights)
    name_version(bundles, CURRENT, damaged.name)
    wait_until("the damage is said", lambda: served()[1] is not None)
    version, fault = served()
    assert version == other
    assert DENSE in str(fault)
    assert endpoint.post(json.dumps(endpoint.requests[0])).status_code == 200
    name_version(bundles, CURRENT, first)
    wait_until("the old version is served again", lambda: served() == (first, None))
