"""The application on a real Ray Serve, asked over real HTTP, with a bundle of random weights."""

import json
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from ray import serve
from rayrank.errors import BundleError, RayrankError
from rayrank.serve.app import RankingApp, build_app
from rayrank.serve.config import RankingArgs

from ..clusters import API_KEY, KEY_VARIABLE, wait_until
from .app_client import LIMITS, Client, Samples, alone, request, scrape


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
    assert client.get("/v1/models", headers={"Authorization": sent}).status_code == 401
    assert client.get("/healthz").json() == {"status": "ok"}


def test_who_has_a_key_is_not_asked_for_one(client: Client) -> None:
    answer = client.post("{}")
    assert answer.status_code == 422
    assert "WWW-Authenticate" not in answer.headers


@pytest.mark.parametrize(("path", "status"), [("/nothing", 404), ("/v1/rank", 405)])
def test_a_path_of_nobody_is_refused_as_all_is(client: Client, path: str, status: int) -> None:
    answer = client.get(path, headers={"X-Request-ID": "mine"})
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
    (model,) = client.get("/v1/models", headers=headers).json()["models"]
    told = {"kind": "number", "range": [-2.0, 5.0]}
    assert model["request"]["candidates"]["distance"] == told
    assert model["limits"]["candidates"] == LIMITS.candidates
    found = client.get("/openapi.json", headers=headers).json()
    told = {"$ref": "#/components/schemas/Request", "components": found["components"]}
    sound = Draft202012Validator(told)
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
    seen = {"200", "400", "401", "404", "405", "413", "422"}
    assert client.statuses.keys() - {"408", "503"} == seen
    # The exporter also names, with nothing new, what other modules' applications answered.
    grown = {status: n for status, n in counted["ray_rayrank_requests_total"].items() if n}
    assert grown == client.statuses


def test_candidates_are_counted(client: Client, counted: Samples) -> None:
    assert counted["ray_rayrank_candidates_total"] == {"": client.candidates}


def test_latencies_are_milliseconds(client: Client, counted: Samples) -> None:
    """A pass of a model takes more than one of them, and nothing longer inside than outside."""
    within = counted["ray_rayrank_request_ms_bucket"]
    assert within["+Inf"] == client.ranked
    bounds = sorted(float(bound) for bound in within)
    assert bounds == [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, math.inf]
    over = next(bound for bound in bounds if bound >= 1000 * client.slowest_s)
    assert over == math.inf or within[str(over)] == within["+Inf"]


def test_every_phase_of_every_answer_is_counted(client: Client, counted: Samples) -> None:
    """Parse, wait, copy, prefix, candidates, post."""
    assert counted["ray_rayrank_phase_ms_bucket"]["+Inf"] == 6 * client.ranked


def test_what_the_queue_cannot_hold_is_refused_with_503(client: Client, bundles: Path) -> None:
    """Last, because it is counted with the rest."""
    deployment: Any = RankingApp
    assert (deployment.max_ongoing_requests, deployment.max_queued_requests) == (4096, 4096)
    tight = deployment.options(
        max_ongoing_requests=1, max_queued_requests=1, ray_actor_options={"num_cpus": 0}
    )
    args = RankingArgs(bundles=str(bundles), limits=LIMITS, authenticate=False)
    serve.run(tight.bind(args.model_dump(mode="json"), None), name="tight", route_prefix="/tight")

    def status(seed: int) -> int:
        """Without a key: this application was told to demand none."""
        return client.http.post("/tight/v1/rank", content=json.dumps(request(seed))).status_code

    with ThreadPoolExecutor(24) as pool:
        statuses = set(pool.map(status, range(24)))
    assert statuses == {200, 503}
