"""The application on a real Ray Serve, asked over real HTTP, with a bundle of random weights."""

import json
import math
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import ray
from jsonschema import Draft202012Validator
from prometheus_client.parser import text_string_to_metric_families
from ray import serve
from rayrank.errors import BundleError, RayrankError
from rayrank.serve.app import RankingApp, build_app
from rayrank.serve.config import RankingArgs
from rayrank.serve.limits import Limits
from rayrank.versions import CURRENT, name_version

from ..clusters import API_KEY, KEY_VARIABLE, free_port, wait_until
from ..infer.bundles import trained, write
from ..model.rows import SCHEMA, behaviour, candidate, features

LIMITS = Limits(body_bytes=6000, candidates=6, behaviours=8, batch_tokens=512)
NOW = 1_600_084_800_000  # noon in UTC
Request = dict[str, Any]
Samples = dict[str, dict[str, float]]


def columns(elements: list[dict[str, Any]], token: Any) -> dict[str, Any]:
    names = SCHEMA.features_of(token)
    return {name: [element[name] for element in elements] for name in names}


def request(seed: int, shown: int = 6, past: int = 2) -> Request:
    """A user of some behaviours and candidates; the candidates' times are in no order."""
    behaviours = [behaviour(0, 50 * seed + i) for i in range(past)]
    candidates = [candidate(0, 50 * seed + 20 + i) for i in range(shown)]
    minutes = np.random.default_rng(seed).permutation(shown).tolist()
    return {
        "user": f"user {seed}",
        "time_ms": NOW,
        "profile": features(SCHEMA, "profile", seed),
        "sequences": {
            "views": {
                "time_ms": [NOW - 60_000 * (10 + past - i) for i in range(past)],
                **columns(behaviours, "views"),
            }
        },
        "candidates": {
            "item": [f"item {i}" for i in range(shown)],
            "time_ms": [NOW - 60_000 * m for m in minutes],
            **columns(candidates, "candidate"),
        },
    }


def alone(asked: Request, place: int) -> Request:
    """The same request with one of its candidates."""
    shown = {name: [values[place]] for name, values in asked["candidates"].items()}
    return asked | {"candidates": shown}


@dataclass
class Client:
    """Asks, and keeps account of what the application must have counted."""

    http: httpx.Client
    before: Samples
    """What the applications of earlier tests have counted on this cluster."""
    statuses: Counter[str] = field(default_factory=Counter)
    candidates: int = 0
    slowest_s: float = 0.0
    """Of all answers, as seen from here."""

    def post(self, content: str, key: str = f"Bearer {API_KEY}", **headers: str) -> httpx.Response:
        start = time.perf_counter()
        headers |= {"Authorization": key}
        answer = self.http.post("/v1/rank", content=content, headers=headers)
        self.slowest_s = max(self.slowest_s, time.perf_counter() - start)
        self.statuses[str(answer.status_code)] += 1
        return answer

    def rank(self, asked: Request) -> np.ndarray:
        """scores_CK of a sound request."""
        answer = self.post(json.dumps(asked))
        assert answer.status_code == 200, answer.text
        content, items = answer.json(), asked["candidates"]["item"]
        assert content["items"] == items
        self.candidates += len(items)
        return np.array([content["scores"][task] for task in SCHEMA.tasks]).T


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of one version, which is current."""
    bundles = tmp_path_factory.mktemp("app") / "bundles"
    name_version(bundles, CURRENT, write(bundles, trained("mtgr"), "mtgr").version)
    return bundles


@pytest.fixture(scope="module")
def client(ray_cluster: None, bundles: Path) -> Iterator[Client]:
    serve.shutdown()  # of one that an earlier test left on another port
    port = free_port()
    serve.start(http_options={"host": "127.0.0.1", "port": port, "request_timeout_s": 120})
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(KEY_VARIABLE, API_KEY)
        serve.run(build_app(RankingArgs(bundles=str(bundles), limits=LIMITS)))
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
        yield Client(http, scrape({}))
    serve.shutdown()


@pytest.mark.parametrize("length", [0, 1, 15])
def test_a_short_key_is_refused(
    bundles: Path, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "k" * length)
    with pytest.raises(RayrankError, match=f"{KEY_VARIABLE} .* at least 16 characters"):
        build_app(RankingArgs(bundles=str(bundles)))


def test_a_key_of_16_characters_will_do(bundles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "k" * 16)
    build_app(RankingArgs(bundles=str(bundles)))
    with pytest.raises(BundleError, match="no version is current"):
        build_app(RankingArgs(bundles=str(bundles.parent)))
    with pytest.raises(BundleError, match="0123456789ab: not a bundle"):
        build_app(RankingArgs(bundles=str(bundles), version="0123456789ab"))
    monkeypatch.delenv(KEY_VARIABLE)
    with pytest.raises(RayrankError, match=KEY_VARIABLE):
        build_app(RankingArgs(bundles=str(bundles)))


@pytest.mark.parametrize(
    "sent", ["", API_KEY, f"Bearer {API_KEY}!", f"Bearer {API_KEY[:-1]}", f"bearer {API_KEY}"]
)
def test_another_key_is_refused(client: Client, sent: str) -> None:
    answer = client.post(json.dumps(request(0)), sent)
    assert answer.status_code == 401
    assert answer.json()["error"]["field"] == "Authorization"
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert client.http.get("/v1/models", headers={"Authorization": sent}).status_code == 401
    assert client.http.get("/healthz").json() == {"status": "ok"}


def test_who_has_a_key_is_not_asked_for_one(client: Client) -> None:
    answer = client.post("{}")
    assert answer.status_code == 422
    assert "WWW-Authenticate" not in answer.headers


@pytest.mark.parametrize(("path", "status"), [("/nothing", 404), ("/v1/rank", 405)])
def test_a_path_of_nobody_is_refused_as_all_is(client: Client, path: str, status: int) -> None:
    answer = client.http.get(path, headers={"X-Request-ID": "mine"})
    assert (answer.status_code, answer.headers["X-Request-ID"]) == (status, "mine")
    told = answer.json()["error"]
    assert (told["field"], told["request_id"]) == ("(path)", "mine")


@pytest.mark.parametrize("sent", ["0", "-1", "1.5", "soon", "1" * 10])
def test_a_timeout_that_is_none_is_refused(client: Client, sent: str) -> None:
    answer = client.post(json.dumps(request(0)), **{"X-Timeout-Ms": sent})
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, "X-Timeout-Ms")


def test_what_would_be_late_is_refused_at_once(client: Client) -> None:
    """Nothing is parsed in a millisecond, network included."""
    answer = client.post(json.dumps(request(0)), **{"X-Timeout-Ms": "1"})
    assert answer.status_code in (408, 503)
    if answer.status_code == 503:
        assert answer.headers["Retry-After"] == "1"
        assert "would take" in answer.json()["error"]["message"]


def test_models_tell_what_a_request_holds(client: Client) -> None:
    headers = {"Authorization": f"Bearer {API_KEY}"}
    (model,) = client.http.get("/v1/models", headers=headers).json()["models"]
    told = {"kind": "number", "range": [-2.0, 5.0]}
    assert model["request"]["candidates"]["distance"] == told
    assert model["limits"]["candidates"] == LIMITS.candidates
    found = client.http.get("/openapi.json", headers=headers).json()
    sound = Draft202012Validator(found["components"]["schemas"]["Request"])
    assert sound.is_valid(request(0))
    assert not sound.is_valid(request(0, shown=7))


def test_a_body_may_be_as_large_as_the_limit_and_no_larger(client: Client) -> None:
    asked = json.dumps(request(0))
    assert client.post("x".ljust(LIMITS.body_bytes)).status_code == 400
    refused = client.post(asked.ljust(LIMITS.body_bytes + 1))
    assert (refused.status_code, refused.json()["error"]["field"]) == (413, "(body)")


def test_every_candidate_has_its_own_score(client: Client) -> None:
    """In the order asked, which is not that of their times, and as it scores alone."""
    asked = request(1)
    assert asked["candidates"]["time_ms"] != sorted(asked["candidates"]["time_ms"])
    together = client.rank(asked)
    apart = np.concatenate([client.rank(alone(asked, place)) for place in range(6)])
    np.testing.assert_allclose(together, apart, rtol=1e-4)
    assert np.ptp(together, axis=0).min() > 0.01


def test_requests_scored_together_score_as_they_do_alone(client: Client) -> None:
    asked = [request(seed, shown=1 + seed % 6, past=seed % 9) for seed in range(10, 60)]
    with ThreadPoolExecutor(len(asked)) as pool:
        together = list(pool.map(client.rank, asked))
    for one in (0, 17, 49):
        np.testing.assert_allclose(together[one], client.rank(asked[one]), rtol=1e-4)


def scrape(before: Samples) -> Samples:
    """Counters by status, histograms by bucket, added up over processes, as Prometheus sees them,
    less what was counted before.

    Ray estimates a histogram's sum from its buckets: only they are exact.
    """
    (node,) = ray.nodes()
    address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    found: Samples = {}
    for family in text_string_to_metric_families(httpx.get(address).text):
        for sample in family.samples:
            label = sample.labels.get("status") or sample.labels.get("le") or ""
            values = found.setdefault(sample.name, {})
            already = 0.0 if label in values else before.get(sample.name, {}).get(label, 0.0)
            values[label] = values.get(label, -already) + sample.value
    return found


@pytest.fixture(scope="module")
def counted(client: Client) -> Samples:
    """After refusals of every kind and a sound request, once all have reached the exporter."""
    for content in ("{", "[]", "{}", json.dumps(request(2, shown=7))):
        client.post(content)
    client.post(json.dumps(request(2)), "no key")
    client.post("x".ljust(LIMITS.body_bytes + 1))
    client.rank(request(3))

    def arrived() -> bool:
        found = scrape(client.before)
        answers, scored = (
            sum(found.get(f"ray_rayrank_{what}_total", {}).values())
            for what in ("requests", "candidates")
        )
        return answers >= sum(client.statuses.values()) and scored >= client.candidates

    wait_until("all answers and candidates are counted", arrived, seconds=60)
    return scrape(client.before)


def test_answers_are_counted_by_status(client: Client, counted: Samples) -> None:
    assert client.statuses.keys() - {"408", "503"} == {"200", "400", "401", "413", "422"}
    assert counted["ray_rayrank_requests_total"] == client.statuses


def test_candidates_are_counted(client: Client, counted: Samples) -> None:
    assert counted["ray_rayrank_candidates_total"] == {"": client.candidates}


def test_latencies_are_milliseconds(client: Client, counted: Samples) -> None:
    """A pass of a model takes more than one of them, and nothing longer inside than outside."""
    within = counted["ray_rayrank_request_ms_bucket"]
    assert within["+Inf"] == client.statuses["200"]
    bounds = sorted(float(bound) for bound in within)
    assert bounds == [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, math.inf]
    over = next(bound for bound in bounds if bound >= 1000 * client.slowest_s)
    assert over == math.inf or within[str(over)] == within["+Inf"]


def test_every_phase_of_every_answer_is_counted(client: Client, counted: Samples) -> None:
    """Parse, wait, copy, prefix, candidates, post."""
    assert counted["ray_rayrank_phase_ms_bucket"]["+Inf"] == 6 * client.statuses["200"]


def test_what_the_queue_cannot_hold_is_refused_with_503(client: Client, bundles: Path) -> None:
    """Last, because it is counted with the rest."""
    deployment: Any = RankingApp
    assert (deployment.max_ongoing_requests, deployment.max_queued_requests) == (128, 256)
    tight = deployment.options(
        max_ongoing_requests=1, max_queued_requests=1, ray_actor_options={"num_cpus": 0}
    )
    told = RankingArgs(bundles=str(bundles), limits=LIMITS).model_dump(mode="json")
    serve.run(tight.bind(told, API_KEY), name="tight", route_prefix="/tight")

    def status(seed: int) -> int:
        headers = {"Authorization": f"Bearer {API_KEY}"}
        content = json.dumps(request(seed))
        return client.http.post("/tight/v1/rank", content=content, headers=headers).status_code

    with ThreadPoolExecutor(24) as pool:
        statuses = set(pool.map(status, range(24)))
    assert statuses == {200, 503}
