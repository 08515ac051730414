"""The client that compares an endpoint with the trainer, against servers that say what they like.

They are real, and it is they that lie: the client must see every kind of lie.
"""

import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from rayrank.errors import CheckError
from rayrank.schema import Schema, Task
from rayrank.serve.check import Checked, check
from rayrank.serve.replay import Request

from ..model.rows import SCHEMA
from ..told_server import Told, told_server

KEY = "a key that only this test knows"
VERSION = "0123456789ab"
Key = tuple[str, str, int]
Scores = dict[Key, list[tuple[float, float]]]
Answer = Callable[[Request], tuple[int, Any]]

TRAINED: Scores = {
    ("u1", "a", 5): [(0.5, 0.25)],
    ("u1", "b", 6): [(0.75, 0.5)],
    ("u2", "a", 5): [(0.125, 0.0625)],
    ("u2", "a", 7): [(1.0, 0.875)],
    # Shown twice in one moment, on two shelves.
    ("u2", "c", 9): [(0.25, 0.125), (0.75, 0.625)],
}
PLACES = [(user, place) for user, shown in (("u1", 2), ("u2", 3)) for place in range(shown)]


def request(user: str, *candidates: tuple[str, int]) -> Request:
    return {
        "user": user,
        "time_ms": 10,
        "candidates": {
            "item": [item for item, _ in candidates],
            "time_ms": [at for _, at in candidates],
            "ctr": [np.float32(0.5)] * len(candidates),
        },
    }


REQUESTS = [request("u1", ("a", 5), ("b", 6)), request("u2", ("a", 5), ("a", 7), ("c", 9))]


def table(scores: Scores = TRAINED) -> pa.Table:
    """As `predict` leaves it."""
    rows = [(*key, *pair) for key, pairs in scores.items() for pair in pairs]
    names = ["user", "item", "time", "p.click", "p.order"]
    return pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))


def truthful(asked: Request, twin: int = 0) -> tuple[int, Any]:
    """The trainer's own scores."""
    shown = asked["candidates"]
    keys = [(asked["user"], i, t) for i, t in zip(shown["item"], shown["time_ms"], strict=True)]
    pairs = [TRAINED[key][twin % len(TRAINED[key])] for key in keys]
    scores = {"click": [c for c, _ in pairs], "order": [o for _, o in pairs]}
    return 200, {"model": {"version": VERSION}, "scores": scores}


@contextmanager
def serving(answer: Answer) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server on a free port; its URL, and what it was asked."""

    def told(body: Request) -> Told:
        status, content = answer(body)
        return status, {}, content

    with told_server(told) as found:
        yield found


def checked(
    answer: Answer,
    trained: pa.Table | None = None,
    concurrency: int = 2,
    schema: Schema = SCHEMA,
) -> Checked:
    with serving(answer) as (url, _):
        trained = table() if trained is None else trained
        return check(
            url, KEY, REQUESTS, trained, schema, VERSION, lambda done, of: None, concurrency
        )


def off_by(error: float, user: str, place: int, task: str) -> Answer:
    """One score of one candidate is another."""

    def answer(asked: Request) -> tuple[int, Any]:
        status, content = truthful(asked)
        if asked["user"] == user:
            content["scores"][task][place] += error
        return status, content

    return answer


def test_an_endpoint_that_agrees() -> None:
    watched: list[tuple[int, int]] = []
    with serving(truthful) as (url, asked):
        found = check(url, KEY, REQUESTS, table(), SCHEMA, VERSION, lambda *at: watched.append(at))
    assert (found.requests, found.candidates, found.max_abs_diff) == (2, 5, 0.0)
    assert (found.version, found.bound) == (VERSION, 0.006)
    found.demand()
    assert len(found.latencies_ms) == 2
    assert watched == [(1, 2), (2, 2)]
    assert {(a["path"], a["Authorization"]) for a in asked} == {("/v1/rank", f"Bearer {KEY}")}
    sent = sorted((a["body"] for a in asked), key=lambda body: str(body["user"]))
    assert sent == json.loads(json.dumps(REQUESTS, default=float))


@pytest.mark.parametrize("task", ["click", "order"])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("user", "place"), PLACES)
def test_one_score_that_differs_is_seen(user: str, place: int, task: str, sign: int) -> None:
    found = checked(off_by(sign * 0.03125, user, place, task))
    assert found.max_abs_diff == pytest.approx(0.03125)


def test_numbers_are_compared_by_parts_of_themselves() -> None:
    """Of an hour in seconds a tenth is rounding; 40 seconds of it are not."""
    tasks = {"click": SCHEMA.tasks["click"], "order": Task(kind="number", label="seconds")}
    timed = SCHEMA.model_copy(update={"tasks": tasks})
    hours = {key: [(p, 3600.0) for p, _ in pairs] for key, pairs in TRAINED.items()}

    def answer(asked: Request, error: float) -> tuple[int, Any]:
        status, content = truthful(asked)
        content["scores"]["order"] = [3600.0 + error] * len(content["scores"]["order"])
        return status, content

    rounded = checked(lambda asked: answer(asked, 0.1), table(hours), schema=timed)
    assert rounded.max_abs_diff == pytest.approx(0.1 / 3601, rel=1e-3)
    rounded.demand()
    wrong = checked(lambda asked: answer(asked, -40.0), table(hours), schema=timed)
    with pytest.raises(CheckError, match="differs from the trainer's"):
        wrong.demand()


def test_the_largest_of_several_differences_counts() -> None:
    def answer(asked: Request) -> tuple[int, Any]:
        status, content = truthful(asked)
        content["scores"]["click"][0] += 0.0625
        content["scores"]["order"][1] -= 0.1875 if asked["user"] == "u1" else 0.125
        return status, content

    assert checked(answer).max_abs_diff == pytest.approx(0.1875)


@pytest.mark.parametrize(("user", "place"), PLACES)
def test_a_score_that_is_no_number_is_far_from_all(user: str, place: int) -> None:
    assert math.isnan(checked(off_by(math.nan, user, place, "order")).max_abs_diff)


@pytest.mark.parametrize("status", [201, 401, 422, 500, 503])
def test_another_status_than_200_is_refused(status: int) -> None:
    def answer(asked: Request) -> tuple[int, Any]:
        sound, content = truthful(asked)
        return (status, {"error": "said why"}) if asked["user"] == "u2" else (sound, content)

    with pytest.raises(CheckError, match=rf"'u2': {status} .*said why"):
        checked(answer)


@pytest.mark.parametrize("user", ["u1", "u2"])
def test_an_answer_of_another_version_is_refused(user: str) -> None:
    """Though its scores agree."""

    def answer(asked: Request) -> tuple[int, Any]:
        status, content = truthful(asked)
        if asked["user"] == user:
            content["model"]["version"] = "ba9876543210"
        return status, content

    with pytest.raises(CheckError, match=rf"serves .*ba9876543210.*, expected version {VERSION}"):
        checked(answer)


@pytest.mark.parametrize("gone", [("u1", "b", 6), ("u2", "a", 5)])
def test_a_candidate_the_trainer_never_scored_is_refused(gone: Key) -> None:
    """Another user's, another moment's or another item's score is not its own."""
    others = {key: pairs for key, pairs in TRAINED.items() if key != gone}
    with pytest.raises(CheckError, match="the trainer has no score") as refused:
        checked(truthful, table(others))
    assert str(gone) in str(refused.value)


@pytest.mark.parametrize("twin", [0, 1])
def test_of_twins_the_nearer_one_is_meant(twin: int) -> None:
    assert checked(lambda asked: truthful(asked, twin)).max_abs_diff == 0
    near = {0: (0.25 + 0.0625, 0.125), 1: (0.75, 0.625 - 0.0625)}[twin]

    def answer(asked: Request) -> tuple[int, Any]:
        status, content = truthful(asked)
        if asked["user"] == "u2":
            content["scores"]["click"][2], content["scores"]["order"][2] = near
        return status, content

    assert checked(answer).max_abs_diff == pytest.approx(0.0625)


def test_a_twin_is_near_in_all_its_scores() -> None:
    """One twin's click with the other's order is neither: the nearer is half away."""

    def answer(asked: Request) -> tuple[int, Any]:
        status, content = truthful(asked)
        if asked["user"] == "u2":
            content["scores"]["click"][2], content["scores"]["order"][2] = 0.25, 0.625
        return status, content

    assert checked(answer).max_abs_diff == pytest.approx(0.5)


def test_an_answer_that_overtakes_is_compared_with_its_own_request() -> None:
    overtaken = threading.Event()

    def answer(asked: Request) -> tuple[int, Any]:
        if asked["user"] == "u1":
            assert overtaken.wait(30)
        else:
            overtaken.set()
        return truthful(asked)

    found = checked(answer)
    assert (found.requests, found.max_abs_diff) == (2, 0.0)


def test_latencies_are_milliseconds() -> None:
    """They hold the server's time, and the whole replay holds them."""
    own: list[float] = []

    def answer(asked: Request) -> tuple[int, Any]:
        start = time.perf_counter()
        threading.Event().wait(0.02)
        own.append(1000 * (time.perf_counter() - start))
        return truthful(asked)

    start = time.perf_counter()
    found = checked(answer, concurrency=1)
    assert sum(own) <= sum(found.latencies_ms) <= 1000 * (time.perf_counter() - start)


def found(max_abs_diff: float) -> Checked:
    return Checked(
        version=VERSION,
        requests=101,
        candidates=500,
        max_abs_diff=max_abs_diff,
        bound=0.25,
        latencies_ms=[float(ms) for ms in np.random.default_rng(0).permutation(101)],
    )


def test_quantiles_by_hand() -> None:
    assert [found(0.0).latency_ms(q) for q in (0.5, 0.99)] == [50.0, 99.0]


def test_a_difference_up_to_the_bound_passes() -> None:
    found(0.25).demand()
    for more in (math.nextafter(0.25, 1), math.nan):
        with pytest.raises(CheckError, match=rf"{VERSION}: .*more than 2e-01"):
            found(more).demand()
