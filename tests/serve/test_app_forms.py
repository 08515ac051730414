"""What is asked in any form is answered with the engine's own scores, and traced."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import ray
import torch
from rayrank.infer.bundle import load_bundle
from rayrank.infer.engine import Engine
from rayrank.serve.body import ARROW
from rayrank.serve.request import RequestParser
from rayrank.versions import CURRENT, named_version

from ..clusters import wait_until
from ..model.rows import SCHEMA
from .app_client import LIMITS, Client, alone, request
from .test_body import arrow

TASKS = list(SCHEMA.tasks)


def scores_of(answer: dict[str, Any]) -> np.ndarray:
    return np.array([answer["scores"][task] for task in TASKS]).T.astype(np.float32)


def sent(client: Client, asked: Any, form: str = "application/json", **headers: str) -> Any:
    """The content of the answer to a body, or to what is JSON of one."""
    content = asked if isinstance(asked, bytes) else json.dumps(asked).encode()
    answer = client.post(content, **{"Content-Type": form, **headers})
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == form
    if form != ARROW:
        return answer.json()
    return {"users": pa.ipc.open_stream(answer.content).read_all().to_pylist()}


@pytest.fixture(scope="module")
def engine(bundles: Path) -> Engine:
    """As the replica's: on one thread."""
    torch.set_num_threads(1)
    version = named_version(bundles, CURRENT)
    assert version is not None
    return Engine(load_bundle(bundles / version))


def test_scores_are_the_engines_to_the_last_bit(client: Client, engine: Engine) -> None:
    parser = RequestParser(SCHEMA, engine.bundle.manifest.id_types, LIMITS)
    for seed in range(5):
        asked = request(seed)
        parsed = parser.parse(json.dumps(asked).encode())
        (expected,) = engine.submit(parsed.rows).result().scores
        found = scores_of(sent(client, asked))
        np.testing.assert_array_equal(found[parsed.users[0].order], expected)


def test_every_form_is_answered_alike(client: Client) -> None:
    asked = [request(seed, shown=3) for seed in (1, 2)]
    expected = [scores_of(sent(client, one)) for one in asked]
    body = json.dumps(asked[0]).encode()
    for encoding, compressed in (
        ("gzip", gzip.compress(body)),
        ("zstd", pa.compress(body, "zstd", asbytes=True)),
    ):
        found = sent(client, compressed, **{"Content-Encoding": encoding})
        np.testing.assert_array_equal(scores_of(found), expected[0])
    for found in (sent(client, {"users": asked}), sent(client, arrow(asked), ARROW)):
        for user, one, scores in zip(found["users"], asked, expected, strict=True):
            assert user["items"] == one["candidates"]["item"]
            np.testing.assert_allclose(scores_of(user), scores, rtol=1e-5)


def test_the_best_come_first(client: Client) -> None:
    asked, task = request(3), TASKS[0]
    everything = sent(client, asked)
    best = sent(client, asked | {"ranking": {"formula": f"-{task}", "top": 2}})
    order = np.argsort(everything["scores"][task])[:2]
    assert best["items"] == [everything["items"][place] for place in order]
    scores = [everything["scores"][task][place] for place in order]
    np.testing.assert_array_equal(
        -np.array(best["values"], np.float32), np.array(scores, np.float32)
    )


def test_an_id_that_nobody_ever_saw_scores_as_any_other_such(client: Client) -> None:
    """Nothing was learned of either."""
    asked = alone(request(4), 0)
    found = []
    for unknown in (123_456_789, 1 << 62):
        shown = asked["candidates"] | {"item": [unknown]}
        del shown["item_id"]
        found.append(scores_of(sent(client, asked | {"candidates": shown})))
    np.testing.assert_array_equal(found[0], found[1])


def test_all_that_is_wrong_is_told_at_once(client: Client) -> None:
    wrong = request(5) | {"time_ms": 5, "colour": "red"}
    wrong["candidates"].pop("distance")
    answer = client.post(json.dumps(wrong))
    faults = [fault["field"] for fault in answer.json()["error"]["faults"]]
    assert (answer.status_code, faults) == (422, ["colour", "time_ms", "candidates.distance"])


def test_it_says_where_the_time_went(client: Client) -> None:
    answer = client.post(json.dumps(request(6)))
    phases = dict(part.split(";dur=") for part in answer.headers["Server-Timing"].split(", "))
    assert list(phases) == ["parse", "wait", "copy", "prefix", "candidates", "post"]
    assert all(float(ms) >= 0 for ms in phases.values())
    assert float(phases["candidates"]) > 0


def test_the_callers_trace_goes_on(client: Client) -> None:
    """Its phases are spans of it, where Ray Serve writes them."""
    trace_id = f"{0xABCDEF:032x}"
    client.post(json.dumps(request(7)), traceparent=f"00-{trace_id}-{7:016x}-01")
    session = ray._private.worker._global_node.get_session_dir_path()
    spans = Path(session) / "logs" / "serve" / "spans"

    def told() -> bool:
        text = "".join(file.read_text() for file in spans.glob("*replica*"))
        of_trace = [part for part in text.split("\n}\n") if trace_id in part]
        return all(
            any(f'"rayrank.{phase}"' in part for part in of_trace)
            for phase in ("parse", "wait", "prefix", "candidates")
        )

    wait_until("the spans are written", told, seconds=30)
