"""Mistakes derived from the schemas, at every place of a manifest.

For each place: the field left out, misspelt, of a wrong type, a word that is not known, a quantity
that is none, a name that is none, a number below any bound, and a value that is sound and another.
"""

import copy
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import kubernetes_validate
import yaml

from .k8s_validation import KUBERNETES_VERSION, custom_schema, is_custom
from .names import choices
from .objects import Object, Path_, spell
from .quantities import quantity

TYPES = {str: 7, int: "seven", bool: "maybe", dict: "text", list: {"a": 1}}
NO_NAME, NO_QUANTITY, NO_WORD = "No Name!", "20GB", "NoSuchWord"
NAMES = ("name", "claimName", "serviceAccountName", "groupName", "key", "image")
# The schema of what lies in a text is not the manifest's: `test_mutations` reads it apart.
TEXT = "serveConfigV2"


class Mutation(NamedTuple):
    kind: str
    path: Path_
    value: Any = None
    """The new value; the new key of what is misspelt."""

    def of(self, document: Object) -> Object:
        changed = copy.deepcopy(document)
        place: Any = changed
        for step in self.path[:-1]:
            place = place[step]
        last = self.path[-1]
        if self.kind == "left out":
            del place[last]
        elif self.kind == "misspelt":
            place[self.value] = place.pop(last)
        else:
            place[last] = self.value
        return changed

    @property
    def title(self) -> str:
        return f"{self.kind}: {spell(self.path)}"


def mutations(document: Object) -> list[Mutation]:
    """What says of which kind it is has no mutations: without it there is nothing to check."""
    return [
        mutation
        for mutation in _below(document, schema_of(document), ())
        if mutation.path not in {("apiVersion",), ("kind",)}
    ]


def schema_of(document: Object) -> Object:
    if is_custom(document):
        return {**custom_schema(document)}
    group, _, version = document["apiVersion"].rpartition("/")
    prefix = f"{group.split('.')[0]}-" if group else ""
    folder = f"kubernetes-json-schema/v{KUBERNETES_VERSION}.0-local-strict"
    file = f"{folder}/{document['kind'].lower()}-{prefix}{version}.json"
    schema: Object = kubernetes_validate.utils.schema_contents(file, KUBERNETES_VERSION)
    return schema


@cache
def definitions() -> Object:
    file = f"kubernetes-json-schema/v{KUBERNETES_VERSION}.0-local-strict/_definitions.json"
    found: Object = kubernetes_validate.utils.schema_contents(file, KUBERNETES_VERSION)["$defs"]
    return found


def resolved(schema: Object) -> Object:
    while "$ref" in schema:
        schema = definitions()[schema["$ref"].rpartition("/")[2]]
    return schema


def is_number_or_text(schema: Object) -> bool:
    return "x-kubernetes-int-or-string" in schema or "oneOf" in schema or "format" in schema


def _below(value: Any, schema: Object, path: Path_) -> Iterator[Mutation]:
    if isinstance(value, dict):
        known = schema.get("properties", {})
        for key, item in value.items():
            below = resolved(known.get(key) or schema.get("additionalProperties") or {})
            yield Mutation("left out", (*path, key))
            # A key of ours is misspelt; one that may be anything is no key at all.
            yield Mutation("misspelt", (*path, key), f"{key}x" if key in known else NO_NAME)
            yield from _at(item, below, (*path, key))
            yield from _below(item, below, (*path, key))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            below = resolved(schema.get("items", {}))
            yield Mutation("left out", (*path, position))
            yield from _at(item, below, (*path, position))
            yield from _below(item, below, (*path, position))


def _at(value: Any, schema: Object, path: Path_) -> Iterator[Mutation]:
    wrong = TYPES[type(value)]
    if isinstance(value, str | int) and not isinstance(value, bool) and is_number_or_text(schema):
        wrong = {"a": 1}
    yield Mutation("wrong type", path, wrong)
    if "enum" in schema or choices(path):
        yield Mutation("no such word", path, NO_WORD)
    amounts = quantity(value) is not None and path[-2:-1] in (("limits",), ("requests",))
    if amounts:
        yield Mutation("no quantity", path, NO_QUANTITY)
    if path[-1] in NAMES or path[-2:-1] == ("matchLabels",) or path[-2:-1] == ("labels",):
        yield Mutation("no name", path, NO_NAME)
    if isinstance(value, int) and not isinstance(value, bool):
        yield Mutation("too small", path, -1)
        yield Mutation("too large", path, 2**64)
    if path[-1] != TEXT:
        yield from _another(value, path, amounts)


def _another(value: Any, path: Path_, amounts: bool) -> Iterator[Mutation]:
    if isinstance(value, bool):
        yield Mutation("another", path, not value)
    elif isinstance(value, int):
        yield Mutation("another", path, value + 1)
    elif isinstance(value, str) and amounts:
        yield Mutation("another", path, "1n")
    elif isinstance(value, str):
        yield Mutation("another", path, f"{value}x")


def text_mutations(document: Object) -> Iterator[tuple[Mutation, Object]]:
    """Those of the Serve configuration, a text in the manifest, with what comes of them."""
    config = yaml.safe_load(document["spec"][TEXT])
    for mutation in _below(config, {}, ()):
        changed = copy.deepcopy(document)
        changed["spec"][TEXT] = yaml.safe_dump(mutation.of(config), sort_keys=False)
        yield mutation._replace(path=(TEXT, *mutation.path)), changed
