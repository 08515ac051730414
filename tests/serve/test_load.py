"""An open loop: requests leave when they are due, and waiting counts from then."""

import threading

import numpy as np
import pytest
from rayrank.serve.load import Loaded, Plan, Sent, generator, load, poisson

from ..told_server import Told, told_server


def test_what_comes_of_a_load() -> None:
    nan = float("nan")
    sent = [
        Sent(0.0, 0.0, 0.1, 200, 50.0),
        Sent(1.0, 1.5, 2.0, 200, 70.0),
        Sent(2.0, 2.0, 2.1, 503, nan),
        Sent(4.0, 4.0, 9.0, 0, nan),
    ]
    found = Loaded.of(sent, 1000)
    assert found.statuses == {0: 1, 200: 2, 503: 1}
    assert (found.seconds, found.requests, found.offered_per_s) == (9.0, 4, 4 / 9)
    assert (found.goodput_per_s, found.engine_ms) == (2 / 9, 60.0)
    assert found.scored is not None
    told = {"requests": 2, "p50": 550, "p90": 910, "p99": 991, "max": 1000}
    assert found.scored.model_dump() == pytest.approx(told)
    assert found.answered is not None
    assert found.answered.requests == 3, "a refusal is an answer, and none is not"
    assert found.answered.p50 == pytest.approx(100)
    assert found.late_ms == pytest.approx(500, rel=0.05)


def test_what_comes_too_late_is_scored_and_no_goodput() -> None:
    sent = [Sent(0.0, 0.0, 0.1, 200, 50.0), Sent(1.0, 1.5, 2.0, 200, 70.0)]
    assert Loaded.of(sent, 999).goodput_per_s == 1 / 2, "it waited from when it was due"
    assert Loaded.of(sent, 999).scored == Loaded.of(sent, 1000).scored


def test_of_nothing_that_was_scored() -> None:
    found = Loaded.of([Sent(0.0, 0.0, 0.1, 503, float("nan"))], 1000)
    assert (found.goodput_per_s, found.scored, found.engine_ms) == (0, None, None)
    assert found.answered is not None
    assert Loaded.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize("per_s", [5.0, 200.0])
def test_arrivals_are_as_many_as_asked_for_and_independent(per_s: float) -> None:
    due_s = poisson(per_s, 2000 / per_s)
    assert 1800 < len(due_s) < 2200
    assert (np.diff(due_s) > 0).all()
    gaps = np.diff(due_s) * per_s
    assert 0.9 < gaps.std() < 1.1, "as exponential ones are; a steady beat has 0"
    np.testing.assert_array_equal(due_s, poisson(per_s, 2000 / per_s))
    assert len(poisson(per_s, 2000 / per_s, seed=1)) != len(due_s)


def test_a_request_waits_for_no_other_and_keys_change() -> None:
    """The server answers the first one when the third has come."""
    third_came = threading.Event()

    def answer(body: dict[str, int]) -> Told:
        if body["n"] == 2:
            third_came.set()
        if body["n"] == 0:
            third_came.wait(10)
        return 503 if body["n"] else 200, {}, "{}"

    with told_server(answer) as (url, asked), generator() as pool:
        due_s = np.array([0.0, 0.01, 0.6])
        bodies = [b'{"n": 0}', b'{"n": 1}', b'{"n": 2}']
        plan = Plan(url, [(0.0, "old"), (0.5, "new")], bodies, due_s, 1000)
        sent = load(pool, plan).result()
    assert [each.status for each in sent] == [200, 503, 503]
    assert sent[0].done_s > sent[2].sent_s
    assert [each.due_s for each in sent] == due_s.tolist()
    assert all(each.sent_s >= each.due_s for each in sent)
    assert [a["Authorization"] for a in asked] == ["Bearer old", "Bearer old", "Bearer new"]
    assert asked[0]["X-Timeout-Ms"] == "1000"


def test_no_answer_is_a_status_too() -> None:
    with told_server(lambda _: (200, {}, "{}")) as (url, _):
        pass
    with generator() as pool:
        (sent,) = load(pool, Plan(url, [(0.0, "k")], [b"{}"], np.zeros(1), 100)).result()
    assert sent.status == 0
