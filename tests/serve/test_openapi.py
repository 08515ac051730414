"""The document says what the parser does: it takes what the parser takes, and what it refuses of
types and names the parser refuses."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from jsonschema import Draft202012Validator
from rayrank.infer.bundle import Manifest
from rayrank.serve.errors import RequestError
from rayrank.serve.openapi import STATUSES, document, example

from ..changes import GONE, changed
from ..effort import examples
from .requests import GOOD, LIMITS, PARSER, SCHEMA, refusal
from .test_request_any import CHANGES, with_changes

MANIFEST = Manifest.model_construct(
    version="0123456789ab", id_types=PARSER.id_types, ranges={"candidate.ctr": (-1.0, 2.0)}
)
DOCUMENT = document(SCHEMA, MANIFEST, LIMITS)
BODY = DOCUMENT["paths"]["/v1/rank"]["post"]["requestBody"]["content"]["application/json"]
REQUEST = Draft202012Validator({**BODY["schema"], "components": DOCUMENT["components"]})


def test_the_document_is_one() -> None:
    json.dumps(DOCUMENT, allow_nan=False)
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    answers = DOCUMENT["paths"]["/v1/rank"]["post"]["responses"]
    assert answers.keys() == {"200", *STATUSES}
    refused = {str(answers[status]["content"]["application/json"]) for status in STATUSES}
    assert refused == {"{'schema': {'$ref': '#/components/schemas/Error'}}"}
    assert DOCUMENT["paths"]["/healthz"]["get"]["security"] == []


def test_its_example_is_taken() -> None:
    assert REQUEST.is_valid(BODY["example"])
    asked = PARSER.parse(json.dumps(BODY["example"]).encode())
    assert asked.users[0].items == [7, 8]
    assert asked.rows["realtime_views"][0].as_py()["time"] == [BODY["example"]["time_ms"] - 60_000]
    of_strings = MANIFEST.model_copy(update={"id_types": {"i": "string", "uid": "string"}})
    told = example(SCHEMA, of_strings)
    assert (told["user"], told["candidates"]["item"]) == ("1", ["7", "8"])


def test_a_good_request_is_one() -> None:
    assert REQUEST.is_valid(GOOD)
    ranked = {"ranking": {"formula": "click", "top": 1}}
    assert REQUEST.is_valid(GOOD | ranked)
    assert REQUEST.is_valid({"users": [GOOD, GOOD], **ranked})
    assert not REQUEST.is_valid({"users": [GOOD | ranked]})
    assert not REQUEST.is_valid({"users": []})


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("user", GONE),
        ("time_ms", "now"),
        ("colour", 1),
        ("candidates.item", []),
        ("candidates.item", [1.5, 2]),
        ("candidates.i", ["five", "six"]),
        ("candidates.cat", [1, 2]),
        ("candidates.ctr", GONE),
        ("candidates.tags", [[1, 2, 3, 4], []]),
        ("candidates.colour", [1, 2]),
        ("profile.colour", 1),
        ("sequences.colours", {}),
        ("sequences.views.colour", [1, 2]),
        ("sequences.views.i", 7),
    ],
)
def test_both_refuse(path: str, value: Any) -> None:
    wrong = changed(GOOD, path, value)
    assert not REQUEST.is_valid(wrong)
    assert refusal(json.dumps(wrong).encode()).status in (413, 422)


@settings(max_examples=examples(200), deadline=None)
@given(changes=CHANGES)
def test_what_the_parser_takes_the_document_takes(changes: list[tuple[str, Any]]) -> None:
    body = json.dumps(with_changes(changes))
    try:
        PARSER.parse(body.encode())
    except RequestError:
        return
    faults = [error.message for error in REQUEST.iter_errors(json.loads(body))]
    assert faults == []
