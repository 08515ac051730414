"""The bills of materials: valid CycloneDX, and no more and no less than the locks."""

import json
from typing import Any

import pytest
from locks import TARGETS, Locked, constraints, read

pytest.importorskip("cyclonedx", reason="cyclonedx-python-lib is not installed: make test does")

import sbom
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat
from cyclonedx.validation.json import JsonStrictValidator


def told(target: str) -> dict[str, Any]:
    bill = sbom.bill(target)
    text = make_outputter(bill, OutputFormat.JSON, sbom.SCHEMA).output_as_string()
    assert JsonStrictValidator(sbom.SCHEMA).validate_str(text) is None
    content: dict[str, Any] = json.loads(text)
    return content


def purl(one: Locked) -> str:
    return f"pkg:pypi/{one.name}@{one.version.replace('+', '%2B')}"


@pytest.mark.parametrize("target", TARGETS)
def test_it_is_valid_and_lists_the_lock(target: str) -> None:
    content = told(target)
    image = content["metadata"]["component"]
    assert image["name"] == f"rayrank-{target}"
    listed = {
        (one["name"], one["version"], one["purl"], one["hashes"][0]["content"])
        for one in content["components"]
        if one["name"] != "rayrank"
    }
    locked = read(target)
    assert listed == {
        (
            one.name,
            one.version,
            f"pkg:pypi/{one.name}@{one.version.replace('+', '%2B')}",
            one.sha256,
        )
        for one in locked
    }
    (needs,) = [one for one in content["dependencies"] if one["ref"] == image["bom-ref"]]
    assert len(needs["dependsOn"]) == len(locked) + 1


def test_licences_are_told_where_they_are_known() -> None:
    components = {one["name"]: one for one in told("cpu")["components"]}
    assert components["ray"]["licenses"]
    assert components["rayrank"]["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    without = [name for name, one in components.items() if "licenses" not in one]
    assert len(without) <= 10, without
    # Of another version than the lock's nothing is known.
    assert sbom.licence("six", constraints()["six"]) is not None
    assert sbom.licence("six", "0.0.1") is None


def test_the_validator_refuses_what_is_none() -> None:
    assert JsonStrictValidator(sbom.SCHEMA).validate_str('{"bomFormat": "CycloneDX"}') is not None


def test_the_same_lock_has_the_same_number() -> None:
    assert told("serving")["serialNumber"] == told("serving")["serialNumber"]
    assert told("serving")["serialNumber"] != told("cpu")["serialNumber"]
