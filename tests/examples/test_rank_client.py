"""The client of the examples, against a server that refuses, waits and answers as it is told."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import pytest

from ..told_server import Told, told_server

ROOT = Path(__file__).parents[2]
SOUND: Told = (
    200,
    {},
    {"model": {"version": "v1"}, "items": [5, 6], "scores": {"click": [0.25, 0.5]}},
)


def refusal(status: int, **headers: str) -> Told:
    told = {"error": {"field": "a.field", "message": "is wrong", "request_id": "7"}}
    return status, {name.replace("_", "-"): of for name, of in headers.items()}, told


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(ROOT)
    return import_module("examples.rank_client")


@contextmanager
def serving(*answers: Told) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that gives these one after the other, the last one for ever."""
    left = list(answers)
    with told_server(lambda _: left.pop(0) if len(left) > 1 else left[0]) as found:
        yield found


def test_scores_are_typed_and_what_it_sends_is_what_was_asked(room: Any) -> None:
    with serving(SOUND) as (url, asked), room.RankClient(url, "the key") as client:
        ranked = client.rank({"user": 7}, within_s=30.0)
    assert ranked == room.Ranked("v1", [5, 6], {"click": [0.25, 0.5]})
    (one,) = asked
    assert (one["body"], one["Authorization"]) == ({"user": 7}, "Bearer the key")
    assert 0 < int(one["X-Timeout-Ms"]) <= 30_000


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
def test_what_may_succeed_is_asked_again(room: Any, status: int) -> None:
    with serving(refusal(status), refusal(status), SOUND) as (url, asked):
        assert room.RankClient(url, "k").rank({}, within_s=30.0).version == "v1"
    assert len(asked) == 3
    waits = [int(one["X-Timeout-Ms"]) for one in asked]
    assert waits == sorted(waits, reverse=True)


@pytest.mark.parametrize("status", [400, 401, 413, 422, 500])
def test_what_will_not_is_not(room: Any, status: int) -> None:
    with (
        serving(refusal(status, X_Request_ID="7"), SOUND) as (url, asked),
        pytest.raises(room.Refused, match=rf"{status} a\.field: is wrong") as caught,
    ):
        room.RankClient(url, "k").rank({}, within_s=30.0)
    assert (caught.value.status, caught.value.field, caught.value.request_id) == (
        status,
        "a.field",
        "7",
    )
    assert len(asked) == 1


def test_it_does_not_wait_beyond_its_deadline(room: Any) -> None:
    begun = time.monotonic()
    with (
        serving(refusal(503, Retry_After="60"), SOUND) as (url, asked),
        pytest.raises(room.Refused, match="503"),
    ):
        room.RankClient(url, "k").rank({}, within_s=20.0)
    assert len(asked) == 1
    assert time.monotonic() - begun < 20.0


def test_a_proxys_answer_is_told_as_it_is(room: Any) -> None:
    with (
        serving((404, {}, "<h1>nothing</h1>")) as (url, _),
        pytest.raises(room.Refused, match=r"404 \(proxy\): <h1>nothing"),
    ):
        room.RankClient(url, "k").rank({})


def test_nobody_there_is_an_error_in_time(room: Any) -> None:
    with serving(SOUND) as (url, _):
        pass
    with pytest.raises(httpx.TransportError):
        room.RankClient(url, "k").rank({}, within_s=0.2)
