"""The endpoint by `serve deploy`: scores, refusals, keys, metrics, versions that change."""

import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from rayrank.infer.bundle import DENSE, load_bundle, read_manifest, write_bundle
from rayrank.model.build import parse_model_config
from rayrank.serve.check import check
from rayrank.serve.replay import Request
from rayrank.train.export import learned_rows
from rayrank.train.finished import finished_checkpoint
from rayrank.versions import CURRENT, name_version, named_version

from ..clusters import said_by, wait_until
from .cluster import KEY, Endpoint, Trained

ROOT = Path(__file__).parents[2]


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
    assert found.max_abs_diff <= 0.006


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
    minutes = ["nan", *good["candidates"]["minutes"][1:]]
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


@pytest.mark.parametrize(
    ("client", "said"),
    [
        ("rank_client.py", r"scored {shown} items; best by task: \{{'finish': 'episode/"),
        ("rank_arrow.py", r"the best by finish: \['episode/.*\], scores \[0\.\d+"),
        ("rank_client.go", r"^version [0-9a-f]{{12}} scored {shown} items$"),
    ],
)
def test_the_clients_of_the_examples_are_answered(
    endpoint: Endpoint, tmp_path: Path, client: str, said: str
) -> None:
    runner = ["go", "run"] if client.endswith(".go") else [sys.executable]
    if shutil.which(runner[0]) is None:
        pytest.skip(f"{runner[0]} is not installed here")
    asked = tmp_path / "request.json"
    asked.write_text(json.dumps(endpoint.requests[0]))
    environment = os.environ | {"RAYRANK_API_KEY": KEY}
    command = [*runner, str(ROOT / "examples" / client), endpoint.url, str(asked)]
    told = said_by(command, environment)
    shown = len(endpoint.requests[0]["candidates"]["item"])
    assert re.search(said.format(shown=shown), told, re.MULTILINE), told


def test_alone_a_candidate_scores_as_among_a_thousand(endpoint: Endpoint) -> None:
    """And as beside another user."""
    good = next(r for r in endpoint.requests if len(r["candidates"]["item"]) >= 2)
    shown = {name: values[:1] for name, values in good["candidates"].items()}
    others = {name: (values * 1000)[:999] for name, values in good["candidates"].items()}
    others["time_ms"] = shown["time_ms"] * 999
    among = {name: [*shown[name], *others[name]] for name in shown}

    def first_score(asked: dict[str, Any]) -> float:
        answer = endpoint.post(json.dumps(asked))
        assert answer.status_code == 200, answer.text
        content = answer.json()
        score: float = content.get("users", [content])[0]["scores"]["finish"][0]
        return score

    alone = first_score(good | {"candidates": shown})
    assert first_score(good | {"candidates": among}) == pytest.approx(alone, abs=1e-5)
    beside = {"users": [good | {"candidates": shown}, *endpoint.requests[:5]]}
    assert first_score(beside) == pytest.approx(alone, abs=1e-5)


def test_every_route_but_health_demands_the_key(endpoint: Endpoint) -> None:
    good = json.dumps(endpoint.requests[0])
    assert endpoint.post(good, key="a wrong key of some length").status_code == 401
    assert httpx.post(f"{endpoint.url}/v1/rank", content=good).status_code == 401
    assert httpx.get(f"{endpoint.url}/v1/models").status_code == 401
    assert httpx.get(f"{endpoint.url}/healthz").status_code == 200
    models = httpx.get(f"{endpoint.url}/v1/models", headers={"Authorization": f"Bearer {KEY}"})
    assert models.json()["models"][0]["tasks"] == ["finish", "listened"]
    assert httpx.get(f"{endpoint.url}/openapi.json").status_code == 401
    for hidden in ("/docs", "/redoc"):
        assert httpx.get(f"{endpoint.url}{hidden}").status_code == 404


def test_too_large_a_body_is_refused(endpoint: Endpoint) -> None:
    answer = endpoint.post(b" " * (5 << 20))
    assert answer.status_code == 413


def test_metrics_reach_prometheus(trained: Trained, endpoint: Endpoint) -> None:
    """Through the exporter, at the addresses that Ray writes down for Prometheus."""
    minutes = [1e9] * len(endpoint.requests[0]["candidates"]["item"])
    assert endpoint.post(changed(endpoint.requests[0], "candidates.minutes", minutes)).json()
    wanted = ["ray_rayrank_requests_total", "ray_rayrank_request_ms", "ray_rayrank_phase_ms"]

    def scraped(address: str) -> str:
        try:
            return httpx.get(f"http://{address}/metrics").text
        except httpx.HTTPError:  # a component that has not started to listen yet
            return ""

    def exported() -> bool:
        targets = json.loads(trained.head.targets.read_text())
        text = "".join(scraped(address) for group in targets for address in group["targets"])
        lines = [line for line in text.splitlines() if "rayrank_clamped_total{" in line]
        counted = any('feature="candidate.minutes"' in line for line in lines)
        return counted and all(name in text for name in wanted)

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
    run = trained.run.trained(manifest.ranker)
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
        seed=run.config.train.seed,
        rows=learned_rows(finished_checkpoint(run.folder), bundle.schema),
    ).version

    def served() -> set[tuple[str, str | None]]:
        """What the replicas say, of which any may answer."""
        told = [endpoint.get("/v1/models").json() for _ in range(12)]
        return {(of["models"][0]["version"], of["faults"].get(CURRENT)) for of in told}

    name_version(bundles, CURRENT, other)
    wait_until("the new version is served", lambda: served() == {(other, None)})
    damaged = Path(str(bundles)) / "0123456789ab"
    shutil.copytree(str(bundles / first), damaged)
    weights = bytearray((damaged / DENSE).read_bytes())
    weights[-1] ^= 1
    (damaged / DENSE).write_bytes(weights)
    name_version(bundles, CURRENT, damaged.name)
    wait_until("the damage is said", lambda: all(fault is not None for _, fault in served()))
    for version, fault in served():
        assert version == other
        assert DENSE in str(fault)
    assert endpoint.post(json.dumps(endpoint.requests[0])).status_code == 200
    name_version(bundles, CURRENT, first)
    wait_until("the old version is served again", lambda: served() == {(first, None)})
