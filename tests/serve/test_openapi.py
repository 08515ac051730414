"""The document says what the parser does: it takes what the parser takes, and what it refuses of
types and names the parser refuses."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from jsonschema import Draft202012Validator
from rayrank.infer.bundle import Manifest
from rayrank.serve.errors import RequestError
from rayrank.serve.openapi import STATUSES, document, request_schema

from ..changes import GONE, changed
from .requests import GOOD, LIMITS, PARSER, SCHEMA, refusal
from .test_request_any import CHANGES, with_changes

MANIFEST = Manifest.model_construct(
    version="0123456789ab", id_types=PARSER.id_types, ranges={"candidate.ctr": (-1.0, 2.0)}
)
REQUEST = Draft202012Validator(request_schema(SCHEMA, MANIFEST, LIMITS))


def test_the_document_is_one() -> None:
    found = document(SCHEMA, MANIFEST, LIMITS)
    json.dumps(found, allow_nan=False)
    for schema in found["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    answers = found["paths"]["/v1/rank"]["post"]["responses"]
    assert answers.keys() == {"200", *STATUSES}
    refs = [of["content"]["application/json"]["schema"]["$ref"] for of in answers.values()]
    assert {ref.removeprefix("#/components/schemas/") for ref in refs} == {"Scores", "Error"}
    assert found["paths"]["/healthz"]["get"]["security"] == []


def test_a_good_request_is_one() -> None:
    assert REQUEST.is_valid(GOOD)


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


@settings(max_examples=200, deadline=None)
@given(changes=CHANGES)
def test_what_the_parser_takes_the_document_takes(changes: list[tuple[str, Any]]) -> None:
    body = json.dumps(with_changes(changes))
    try:
        PARSER.parse(body.encode())
    except RequestError:
        return
    faults = [error.message for error in REQUEST.iter_errors(json.loads(body))]
    assert faults == []
