"""k8s/README.md makes the secrets that pods name, and speaks of objects that are there."""

import re

import pytest

from .objects import Object
from .readme_table import README, TOLD, row_of, spelt, table
from .reference_faults import SECRETS
from .render import OPTIONS, OVERLAYS, STORAGES, rendered

COMMAND = re.compile(r"kubectl create secret generic (\S+)((?:[^\n]*\\\n)*[^\n]*)")


def made() -> dict[str, set[str]]:
    """The secrets, each with its files."""
    return {
        name: set(re.findall(r"--from-(?:file|literal)=([^=\s]+)=", rest))
        for name, rest in COMMAND.findall(README.read_text())
    }


@pytest.mark.parametrize("name", SECRETS)
def test_secrets_are_made(name: str) -> None:
    assert made().get(name) == SECRETS[name]


def test_no_other_secrets_are_made() -> None:
    assert made().keys() <= SECRETS.keys()


def everything() -> list[Object]:
    variants = [(overlay, storage, ()) for overlay in OVERLAYS for storage in STORAGES]
    options = [("gpu", "", (option,)) for option in OPTIONS]
    return [document for parts in (*variants, *options) for document in rendered(*parts)]


def test_objects_that_it_names_are_there() -> None:
    known = {document["metadata"]["name"] for document in everything()} | SECRETS.keys()
    named = set(re.findall(r"`(rayrank-[-a-z]+)`", README.read_text()))
    assert named <= known


def test_the_table_of_needs_is_whole(overlay: list[Object]) -> None:
    """Each of its rows is an object, and each object that wants machines for long has a row."""
    told = [document for document in overlay if document["kind"] in TOLD]
    rows = {row[0] for row in table() if re.fullmatch(r"\w+ `rayrank-[a-z]+`", row[0])}
    assert rows == {row_of(document) for document in told}
    assert all("CPUs" in spelt(document) for document in told)
