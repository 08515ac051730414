"""A request that is made from the contract alone is taken; what the contract has not is refused."""

import json
from typing import Any

import pytest
from rayrank.infer.bundle import Manifest
from rayrank.serve.contract import contract

from .requests import NOW, PARSER, SCHEMA, refusal

MANIFEST = Manifest.model_construct(
    id_types=PARSER.id_types, ranges={"candidate.ctr": (-1.0, 2.0), "profile.nobody": (0.0, 1.0)}
)
CONTRACT = contract(SCHEMA, MANIFEST)


def value_of(told: dict[str, Any]) -> Any:
    one = "a" if told.get("id_type") == "string" else 1
    return {
        "id": one,
        "ids": [one],
        "number": 0.5,
        "bucket": 0.5,
        "vector": [0.0] * told.get("width", 0),
    }[told["kind"]]


def columns(features: dict[str, Any], times: list[int], *, all_of_them: bool) -> dict[str, Any]:
    told = {n: f for n, f in features.items() if all_of_them or "default" not in f}
    return {"time_ms": times} | {name: [value_of(f)] * len(times) for name, f in told.items()}


def made(*, all_of_them: bool) -> dict[str, Any]:
    """With everything that the contract has, or with what it gives no default for."""
    return {
        "user": 7,
        "time_ms": NOW,
        "profile": {n: value_of(f) for n, f in CONTRACT["profile"].items()},
        "sequences": {
            name: columns(told["features"], [NOW - 10], all_of_them=all_of_them)
            for name, told in CONTRACT["sequences"].items()
        },
        "candidates": {"item": [1, 1]}
        | columns(CONTRACT["candidates"], [NOW - 5, NOW], all_of_them=all_of_them),
    }


@pytest.mark.parametrize("all_of_them", [True, False])
def test_a_request_made_from_the_contract_is_taken(all_of_them: bool) -> None:
    parsed = PARSER.parse(json.dumps(made(all_of_them=all_of_them)).encode())
    assert parsed.users[0].items == [1, 1]


@pytest.mark.parametrize("section", ["profile", "candidates"])
def test_what_has_no_default_is_demanded_and_what_is_not_there_refused(section: str) -> None:
    demanded = [
        name for name, told in CONTRACT[section].items() if not {"default", "same_as"} & {*told}
    ]
    assert demanded
    for name in demanded:
        asked = made(all_of_them=True)
        del asked[section][name]
        assert refusal(json.dumps(asked).encode()).field == f"{section}.{name}"
    more = made(all_of_them=True)
    more[section]["colour"] = [1]
    assert refusal(json.dumps(more).encode()).status == 422


def test_ids_and_ranges_are_those_that_were_learned() -> None:
    assert CONTRACT["candidates"]["ctr"]["range"] == [-1.0, 2.0]
    assert "range" not in CONTRACT["candidates"]["price"]
    assert CONTRACT["candidates"]["cat"]["id_type"] == "string"
    assert "uid" not in CONTRACT["profile"], "it is the user"
    assert CONTRACT["candidates"]["i"]["same_as"] == "item"
    assert "same_as" not in CONTRACT["sequences"]["views"]["features"]["i"]
    assert {name: told["keep"] for name, told in CONTRACT["sequences"].items()} == {
        name: sequence.keep for name, sequence in SCHEMA.sequences.items()
    }
    json.dumps(CONTRACT, allow_nan=False)
