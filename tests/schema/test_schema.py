"""schema.yaml: a fault is named with its file and key; a sound file survives a round trip."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from rayrank.data.simulate_schema import SCHEMA
from rayrank.errors import ConfigError
from rayrank.schema import Schema, load_schema

from ..changes import GONE, changed

Content = dict[str, Any]

SOUND: Content = {
    "name": "shop",
    "user": "u",
    "item": "i",
    "time": "t",
    "known_at": "k",
    "outcomes": ["watched"],
    "sequences": {
        "views": {"from": "exposures"},
        "clicks": {"from": "exposures", "where": "click"},
        "orders": {"from": "events", "type": "order"},
        "searches": {"from": "searches", "time": "at", "known_at": "seen", "keep": 5},
    },
    "tables": {"item": {"dim": 8}, "age": {"dim": 4}},
    "features": {
        "age": {
            "tokens": ["profile"],
            "kind": "bucket",
            "source": "users",
            "table": "age",
            "boundaries": [18, 40],
        },
        "i": {"tokens": ["views", "clicks", "orders", "candidate"], "kind": "id", "table": "item"},
        "query": {"tokens": ["searches"], "kind": "id", "table": "item"},
        "shared": {"tokens": ["candidate"], "kind": "ids", "table": "item", "source": "items"},
        "watched": {"tokens": ["views"], "kind": "number", "transform": "log1p"},
        "ctr": {"tokens": ["candidate"], "kind": "number", "as_of": "s", "default": 0.5},
    },
    "tasks": {
        "click": {"label": "click"},
        "order": {"event": "order", "within": "10m", "after": "click", "given": "click"},
    },
}


def fault(folder: Path, text: str) -> str:
    """What load_schema says of a file, less the file's name, which it must begin with."""
    path = folder / "schema.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_schema(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


PROFILE = {"tokens": ["profile"], "kind": "number", "source": "users"}
NUMBER = {"tokens": ["candidate"], "kind": "number"}
ID = {"tokens": ["candidate"], "kind": "id", "table": "item"}
FAULTS: list[tuple[str, object, str]] = [
    # (changed key, its value, what the message begins with)
    ("colour", 1, "colour: unknown key"),
    ("features.i.colour", 1, "features.i.colour: unknown key"),
    ("tables.item.colour", 1, "tables.item.colour: unknown key"),
    ("tasks.click.colour", 1, "tasks.click.colour: unknown key"),
    ("user", GONE, "user: missing"),
    ("features.i.tokens", GONE, "features.i.tokens: missing"),
    ("features.i.kind", "colour", "features.i.kind: "),
    ("features", {}, "features: "),
    ("tasks", {}, "tasks: "),
    ("name", "two words", "name: "),
    ("name", "n" * 65, "name: "),
    ("time_unit", "h", "time_unit: "),
    ("timezone", "Mars/Olympus", "timezone: expected an IANA time zone"),
    ("timezone", "Asia", "timezone: expected an IANA time zone"),
    ("timezone", "", "timezone: expected an IANA time zone"),
    # Tables.
    ("tables.item.dim", 6, "tables.item.dim: "),
    ("tables.item.dim", 0, "tables.item.dim: "),
    ("tables.item.dim", 1028, "tables.item.dim: "),
    ("tables.item.capacity", 0, "tables.item.capacity: "),
    ("tables.spare", {"dim": 4}, "(top level): tables.spare: no feature uses it"),
    ("features.i.table", "nowhere", "(top level): features.i: no table 'nowhere'"),
    ("features.i.table", GONE, "features.i: a feature of kind id needs a table"),
    ("features.ctr.table", "item", "features.ctr: a feature of kind number takes no table"),
    # Kinds.
    ("features.age.boundaries", GONE, "features.age: boundaries belongs to kind bucket"),
    ("features.i.boundaries", [1], "features.i: boundaries belongs to kind bucket"),
    ("features.age.boundaries", [40, 18], "features.age: boundaries must ascend"),
    ("features.age.boundaries", [18, 18], "features.age: boundaries must ascend"),
    ("features.age.boundaries", [float("nan")], "features.age.boundaries.0: "),
    ("features.i.transform", "log1p", "features.i: transform belongs to kind number"),
    ("features.shared.default", 1, "features.shared: a list takes no default"),
    ("features.ctr.default", "none", "features.ctr: the default of a number must be a number"),
    ("features.i.default", 0.5, "features.i: the default of an id"),
    ("features.i.default", 2**63, "features.i: the default of an id"),
    ("features.i.default", -(2**63) - 1, "features.i: the default of an id"),
    # Tokens and sources.
    ("features.i.tokens", [], "features.i.tokens: "),
    ("features.i.tokens", ["candidate", "candidate"], "features.i: a token is named twice"),
    (
        "features.watched.tokens",
        ["profile"],
        "(top level): features.watched: column 'watched' is known only after the exposure",
    ),
    ("as_of", {"events": "t"}, "as_of.events"),
    (
        "features.more",
        PROFILE | {"source": "items"},
        "(top level): features.more: a profile feature comes from users",
    ),
    (
        "features.more",
        PROFILE | {"tokens": ["profile", "candidate"]},
        "(top level): features.more: a profile feature is in no other token",
    ),
    (
        "features.more",
        NUMBER | {"source": "users"},
        "(top level): features.more: a feature of users belongs to token profile",
    ),
    (
        "features.more",
        NUMBER | {"source": "items", "as_of": "s"},
        "(top level): features.more: as_of belongs to features of exposures",
    ),
    ("features.ctr.tokens", ["orders"], "(top level): features.ctr: as_of belongs to features of"),
    ("features.time", NUMBER, "(top level): features.time: the name is taken"),
    ("features.two words", NUMBER, "features.two words.[key]: "),
    # Leakage: what is known only afterwards, in a candidate.
    ("features.watched.tokens", ["candidate"], "(top level): features.watched: column 'watched'"),
    ("features.click", ID, "(top level): features.click: column 'click' is known only after"),
    ("features.order", ID, "(top level): features.order: column 'order' is known only after"),
    ("features.alias", ID | {"column": "click"}, "(top level): features.alias: column 'click'"),
    ("features.k", NUMBER, "(top level): features.k: column 'k' is known only after"),
    # Tasks.
    ("tasks.click", {}, "tasks.click: a task needs either a label column or an event"),
    ("tasks.click.event", "click", "tasks.click: a task needs either"),
    ("tasks.click.label", "rating >=", "tasks.click: a label is a column, or compares one"),
    ("tasks.click.label", ">= 4", "tasks.click: a label is a column, or compares one"),
    ("tasks.click.label", "rating = 4", "tasks.click: a label is a column, or compares one"),
    ("tasks.click.label", "rating >= four", "tasks.click: a label is a column, or compares one"),
    ("tasks.order.within", GONE, "tasks.order: event and within go together"),
    ("tasks.click.within", "1h", "tasks.click: event and within go together"),
    ("tasks.click.after", "order", "tasks.click: after belongs to an event"),
    (
        "tasks.click.given",
        "order",
        "(top level): tasks.click.given: no binary task 'order' above it",
    ),
    (
        "tasks.order.given",
        "order",
        "(top level): tasks.order.given: no binary task 'order' above it",
    ),
    ("tasks.order.after", "nothing", "(top level): tasks.order.after: no binary task 'nothing'"),
    ("tasks.click.kind", "number", "(top level): sequences.clicks.where: no binary task 'click'"),
    ("tasks.order.kind", "number", "tasks.order: a number needs a label column"),
    ("tasks.click", {"kind": "number", "label": "x >= 4"}, "tasks.click: a number needs a label"),
    (
        "tasks.spent",
        {"kind": "number", "label": "x", "given": "click"},
        "tasks.spent: given belongs to a binary task",
    ),
    ("tasks.click.kind", "rank", "tasks.click.kind: "),
    ("tasks.item", {"label": "x"}, "(top level): tasks.item: the name is taken"),
    # Sequences.
    ("sequences.views.colour", 1, "sequences.views.colour: unknown key"),
    ("sequences.views.from", GONE, "sequences.views.from: missing"),
    ("sequences.views.from", "items", "sequences.views: from names a table of what users did"),
    ("sequences.views.from", "two words", "sequences.views.from: "),
    ("sequences.views.keep", 0, "sequences.views.keep: "),
    ("sequences.views.type", "a", "sequences.views: a sequence from exposures has no type"),
    ("sequences.views.time", "a", "sequences.views: a sequence from exposures has no type"),
    ("sequences.views.known_at", "a", "sequences.views: a sequence from exposures has no type"),
    ("sequences.orders.where", "click", "sequences.orders: where belongs to a sequence from expo"),
    ("sequences.clicks.where", "no", "(top level): sequences.clicks.where: no binary task 'no'"),
    ("sequences.spare", {"from": "events"}, "(top level): sequences.spare: no feature has it"),
    ("sequences.candidates", {"from": "events"}, "(top level): sequences.candidates: the name is"),
    ("sequences.profile", {"from": "events"}, "(top level): sequences.profile: the name is taken"),
    ("features.i.tokens", ["vews"], "(top level): features.i: no token 'vews'; there are candida"),
    (
        "features.order",
        {"tokens": ["views"], "kind": "number"},
        "(top level): features.order: whether 'order' follows is not known before its time is "
        "over, so 'views' would hide each exposure that long; write a sequence of its own instead: "
        "orders: {from: exposures, where: order}",
    ),
    ("tasks.order.known_at", "k", "tasks.order: known_at belongs to a label"),
    ("features.i.source", "exposures", "features.i.source: "),
    *[
        ("tasks.order.within", wrong, "tasks.order.within: expected a duration such as 90s")
        for wrong in ("10 minutes", "-1h", "1.5h", "1w", "", 600, "9" * 30 + "d")
    ],
]


@pytest.mark.parametrize(("key", "value", "message"), FAULTS)
def test_a_fault_is_named(tmp_path: Path, key: str, value: object, message: str) -> None:
    found = fault(tmp_path, yaml.safe_dump(changed(SOUND, key, value)))
    assert found.startswith(message), found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user: [", "not YAML"),
        ("", "expected a mapping"),
        ("- user\n", "expected a mapping"),
        ("just words", "expected a mapping"),
        ("1: 2", "1: "),
        ("user: \0", "not YAML"),
        ("user: a\nuser: b\n", "the key 'user' occurs twice"),
        ("tasks:\n  x: {label: a, label: b}\n", "the key 'label' occurs twice"),
    ],
)
def test_a_file_without_a_mapping(tmp_path: Path, text: str, message: str) -> None:
    assert message in fault(tmp_path, text)


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "schema.yaml"
    path.write_bytes(b"PAR1\xff\xfe\x80")
    with pytest.raises(ConfigError, match=r"schema\.yaml: not YAML"):
        load_schema(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: no such file"):
        load_schema(tmp_path / "none.yaml")


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    content = changed(SOUND, "tables.item.dim", 6) | {"colour": 1, "time_unit": "h"}
    found = fault(tmp_path, yaml.safe_dump(content))
    assert len(found.split("\n")) == 3
    for key in ("tables.item.dim", "colour", "time_unit"):
        assert f"{key}: " in found


@pytest.mark.parametrize("content", [SOUND, yaml.safe_load(SCHEMA)], ids=["shop", "simulated"])
def test_round_trip(tmp_path: Path, content: Content) -> None:
    path = tmp_path / "schema.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    schema = load_schema(path)
    dumped = json.loads(json.dumps(schema.model_dump(mode="json")))
    assert Schema.model_validate(dumped) == schema
    assert Schema.model_validate(dumped).model_dump(mode="json") == dumped


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("90s", timedelta(seconds=90)),
        ("10m", timedelta(minutes=10)),
        ("1h", timedelta(hours=1)),
        ("7d", timedelta(days=7)),
    ],
)
def test_durations(text: str, duration: timedelta) -> None:
    schema = Schema.model_validate(changed(SOUND, "tasks.order.within", text))
    assert schema.tasks["order"].within == duration
