"""What was scored reaches the client bit by bit, whatever the form."""

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from rayrank.serve.body import ARROW
from rayrank.serve.scores import answer

from ..changes import changed
from .requests import GOOD, NOW
from .test_body import ROOMY, arrow

TASKS = ["click", "order"]
MODEL = {"name": "mtgr", "version": "0123456789ab", "schema": "shop"}
# As their rows hold them: by time, which is not how the first one was listed.
SCORES = [
    np.array([[0.1, 1 / 3], [1e-8, 0.7]], np.float32),
    np.array([[1, 0], [0.25, 2 / 3]], np.float32),
]
USERS = [changed(GOOD, "candidates.time_ms", [NOW, NOW - 5]), changed(GOOD, "user", 8)]
LISTED = [SCORES[0][::-1], SCORES[1]]


def told(body: bytes, form: Any = "application/json", users: int = 2) -> Any:
    asked = ROOMY.parse(body, form)
    sent = answer(asked, SCORES[:users], MODEL, TASKS)
    if form != ARROW:
        return json.loads(sent)
    table = pa.ipc.open_stream(sent).read_all()
    return {"model": json.loads(table.schema.metadata[b"model"]), "users": table.to_pylist()}


def scores(user: dict[str, Any]) -> np.ndarray:
    return np.array([user["scores"][task] for task in TASKS]).T.astype(np.float32)


def test_of_one_user() -> None:
    found = told(json.dumps(USERS[0]).encode(), users=1)
    assert (found["model"], found["items"]) == (MODEL, [5, 6])
    np.testing.assert_array_equal(scores(found), LISTED[0])
    assert found.keys() == {"model", "items", "scores"}


def test_of_several_in_both_forms() -> None:
    found = told(json.dumps({"users": USERS}).encode())
    also = told(arrow(USERS), ARROW)
    for one in (found, also):
        assert one["model"] == MODEL
        assert [user["items"] for user in one["users"]] == [[5, 6], [5, 6]]
        for user, expected in zip(one["users"], LISTED, strict=True):
            np.testing.assert_array_equal(scores(user), expected)
            assert "values" not in user


def test_ranked_in_both_forms() -> None:
    ranking = {"formula": "click", "top": 1}
    found = told(json.dumps({"users": USERS, "ranking": ranking}).encode())
    also = told(arrow(USERS, ranking), ARROW)
    for one in (found, also):
        assert [user["items"] for user in one["users"]] == [[6], [5]]
        values = [user["values"] for user in one["users"]]
        np.testing.assert_array_equal(
            np.array(values, np.float32), np.array([[0.1], [1]], np.float32)
        )
        np.testing.assert_array_equal(scores(one["users"][0]), SCORES[0][:1])


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_score_that_is_none_is_never_sent(wrong: float) -> None:
    asked = ROOMY.parse(json.dumps(USERS[0]).encode())
    with pytest.raises(FloatingPointError):
        answer(asked, [np.array([[0.5, wrong], [0.5, 0.5]], np.float32)], MODEL, TASKS)
