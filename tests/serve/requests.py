"""A request that is sound in every part, a parser for it, and what refuses the others."""

import json
from typing import Any

import pytest
from rayrank.serve.errors import RequestError
from rayrank.serve.limits import Limits
from rayrank.serve.request import RequestParser

from ..data.logs import START, shop_schema

SCHEMA = shop_schema(
    {
        "features.uid": {"tokens": ["profile"], "kind": "id", "column": "u", "table": "city"},
        "features.langs": {"tokens": ["profile"], "kind": "ids", "source": "users", "table": "tag"},
    }
)
LIMITS = Limits(candidates=4, behaviours=5, list_ids=3)
PARSER = RequestParser(SCHEMA, {"i": "integer", "cat": "string"}, LIMITS)
NOW = START + 3_600_000
HUGE = 1 << 64
GOOD: dict[str, Any] = {
    "user": 7,
    "time_ms": NOW,
    "profile": {"city": 3, "age": 30, "langs": [1]},
    "sequences": {
        "views": {
            "time_ms": [START - 10, START + 10],
            "known_at_ms": [START - 10, START + 60],
            "i": [1, 2],
            "cat": ["x", "y"],
            "watched": [0.5, 1],
            "click": [1, 0],
        },
        "orders": {"time_ms": [START + 20], "i": [2], "cat": ["y"]},
    },
    "candidates": {
        "item": [5, 6],
        "time_ms": [NOW - 5, NOW],
        "i": [5, 6],
        "cat": ["x", None],
        "tags": [[1], []],
        "price": [1.5, None],
        "ctr": [0.1, 0],
    },
}


def refusal(body: bytes) -> RequestError:
    """What the parser says of a body that it refuses."""
    with pytest.raises(RequestError) as caught:
        PARSER.parse(body)
    error = caught.value
    told = error.body()["error"]
    assert (told["field"], told["message"]) == (error.field, error.message)
    assert told["faults"][0] == {"field": error.field, "message": error.message}
    assert len(error.message) < 1000
    json.dumps(error.body(), ensure_ascii=False, allow_nan=False).encode()
    return error
