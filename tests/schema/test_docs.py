"""What docs/data.md shows is a schema, and a request that it allows."""

import json
import re
from pathlib import Path

import pytest
import yaml
from rayrank.schema import Schema
from rayrank.serve.limits import Limits
from rayrank.serve.request import RequestParser

DOCS = (Path(__file__).parents[2] / "docs" / "data.md").read_text()


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", DOCS, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def schema() -> Schema:
    return Schema.model_validate(yaml.safe_load(block("yaml")))


def test_the_schema_has_every_key(schema: Schema) -> None:
    assert set(yaml.safe_load(block("yaml"))) == set(Schema.model_fields)
    assert schema.features["country"].default == "unknown"


def test_the_request_is_one(schema: Schema) -> None:
    strings = dict.fromkeys(["listener", "country", "episode", "topics", "query"], "string")
    parser = RequestParser(schema, strings, Limits())  # type: ignore[arg-type]
    request = parser.parse(block("json").encode())
    assert request.users[0].items == json.loads(block("json"))["candidates"]["item"]
    assert (
        request.rows["tokens"][0].as_py() == 2 + 2 + 2
    )  # profile, a hearing and a search, candidates


def test_five_sequences_are_five_lines(schema: Schema) -> None:
    lines = DOCS.split("are five lines:\n\n```yaml\n")[1].split("```")[0]
    assert len(lines.splitlines()) == 6
    content = schema.model_dump(mode="json") | yaml.safe_load(lines)
    content["tasks"]["click"] = {"label": "clicked"}
    content["features"] = {
        "episode": content["features"]["episode"] | {"tokens": [*content["sequences"], "candidate"]}
    }
    content["tables"] = {"episode": content["tables"]["episode"]}
    found = Schema.model_validate(content)
    assert len(found.groups) == 2 + 2 * 5
