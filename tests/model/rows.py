"""Small users as plain Python, and as the Arrow rows a model reads.

No relative imports: subprocesses import this file by itself too.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
from rayrank.data.jagged import JaggedBatch, to_jagged
from rayrank.data.scale import Scale
from rayrank.data.user_rows import row_schema
from rayrank.schema import Schema

WINDOW = 1_600_000_000_000
MINUTE = 60_000
POOL = 30
"""Ids below this were trained, in tests that train any."""

Element = dict[str, Any]

SCHEMA = Schema.model_validate(
    {
        "name": "every_kind",
        "user": "user_id",
        "item": "item_id",
        "time": "time_ms",
        "sequences": {
            "views": {"from": "exposures"},
            "buys": {"from": "events", "type": "buy"},
        },
        "tables": {
            "item": {"dim": 8, "capacity": 256},
            "tag": {"dim": 4, "capacity": 256},
            "small": {"dim": 4, "capacity": 256},
        },
        "features": {
            "city": {"tokens": ["profile"], "kind": "id", "source": "users", "table": "small"},
            "langs": {"tokens": ["profile"], "kind": "ids", "source": "users", "table": "tag"},
            "age": {
                "tokens": ["profile"],
                "kind": "bucket",
                "source": "users",
                "table": "small",
                "boundaries": [20, 40],
            },
            "income": {"tokens": ["profile"], "kind": "number", "source": "users"},
            "item_id": {"tokens": ["views", "buys", "candidate"], "kind": "id", "table": "item"},
            "tags": {"tokens": ["views", "candidate"], "kind": "ids", "table": "tag"},
            "price": {
                "tokens": ["views", "buys", "candidate"],
                "kind": "bucket",
                "table": "small",
                "boundaries": [1, 2, 3],
            },
            "watched": {"tokens": ["views"], "kind": "number"},
            "click": {"tokens": ["views"], "kind": "id", "table": "small"},
            "paid": {"tokens": ["buys"], "kind": "number"},
            "distance": {"tokens": ["candidate"], "kind": "number"},
            "ctr": {"tokens": ["candidate"], "kind": "number"},
        },
        "outcomes": ["watched"],
        "tasks": {"click": {"label": "click"}, "order": {"label": "order", "given": "click"}},
    }
)
SCALES = {
    "profile.income": Scale(1.5, 2.0),
    "views.watched": Scale(-0.5, 0.7),
    "buys.paid": Scale(0.3, 1.25),
    "candidate.distance": Scale(0.25, 1.5),
}

NO_PROFILE = SCHEMA.model_copy(
    update={"features": {n: f for n, f in SCHEMA.features.items() if "profile" not in f.tokens}}
)


@dataclass(frozen=True)
class User:
    """One user row: a dict per behaviour and candidate, with `time` (and `sequence`, `known_at`).

    static and realtime hold the behaviours of all sequences.
    """

    profile: Element
    static: list[Element] = field(default_factory=list)
    realtime: list[Element] = field(default_factory=list)
    candidates: list[Element] = field(default_factory=list)

    def ascending(self) -> "User":
        """The same, in the order of DESIGN section 4: static sequence by sequence, realtime as it
        was known. Ties keep theirs, those of two sequences the schema's."""
        place = {name: number for number, name in enumerate(SCHEMA.sequences)}
        return replace(
            self,
            static=sorted(self.static, key=lambda e: (place[e["sequence"]], e["known_at"])),
            realtime=sorted(self.realtime, key=lambda e: (e["known_at"], place[e["sequence"]])),
            candidates=sorted(self.candidates, key=lambda e: int(e["time"])),
        )


def features(schema: Schema, token: str, seed: int) -> Element:
    """A random value of every feature of a token, as a row stores them; a function of `seed`."""
    draw = np.random.default_rng(seed)
    values: Element = {}
    for name, feature in schema.features_of(token).items():
        if feature.kind == "number":
            values[name] = float(np.float32(draw.normal()))
        elif feature.kind == "ids":
            values[name] = draw.integers(0, 2 * POOL, draw.integers(0, 4)).tolist()
        elif feature.kind == "bucket":
            assert feature.boundaries is not None
            values[name] = int(draw.integers(0, len(feature.boundaries) + 1))
        else:
            values[name] = int(draw.integers(0, 2 * POOL))
    return values


def behaviour(
    minute: int, seed: int, schema: Schema = SCHEMA, sequence: str | None = None
) -> Element:
    """A behaviour known so many minutes after the window's start (before it, if negative), of the
    schema's first sequence unless said."""
    known = WINDOW + minute * MINUTE
    sequence = sequence or next(iter(schema.sequences))
    return {
        "sequence": sequence,
        "time": known - (seed % 7) * 1000,
        "known_at": known,
        **features(schema, sequence, seed),
    }


def candidate(minute: int, seed: int, schema: Schema = SCHEMA) -> Element:
    """A candidate shown so many minutes into the window."""
    values = features(schema, "candidate", seed)
    draw = np.random.default_rng(seed)
    labels = {f"label.{task}": float(draw.integers(0, 2)) for task in schema.tasks}
    return {"time": WINDOW + minute * MINUTE, "item": str(values["item_id"]), **values, **labels}


def table(users: list[User], schema: Schema = SCHEMA) -> pa.Table:
    """User rows as the builder writes them."""
    rows = []
    for number, user in enumerate(users):
        behaviours = user.static + user.realtime
        row: dict[str, Any] = {
            "user": f"u{number}",
            "window_start": WINDOW,
            "tokens": len(schema.features_of("profile")) + len(behaviours) + len(user.candidates),
            "visible_pairs": 0,
            "candidates": _columns(user.candidates, ["time", "item"], schema, "candidate"),
            "labels": {
                task: [c[f"label.{task}"] for c in user.candidates] for task in schema.tasks
            },
            "labels_known_at": {
                task: [c["time"] for c in user.candidates] for task in schema.tasks
            },
            "profile": user.profile,
        }
        for name in schema.sequences:
            for part, elements in (("static", user.static), ("realtime", user.realtime)):
                mine = [e for e in elements if e["sequence"] == name]
                row[f"{part}_{name}"] = _columns(mine, ["time", "known_at"], schema, name)
        rows.append(row)
    return pa.Table.from_pylist(rows, row_schema(schema, pa.string(), pa.string()))


def jagged(users: list[User], schema: Schema = SCHEMA) -> JaggedBatch:
    """Users as a batch."""
    return to_jagged(table(users, schema), schema)


def _columns(
    elements: list[Element], fixed: list[str], schema: Schema, token: str
) -> dict[str, list[Any]]:
    names = [*fixed, *schema.features_of(token)]
    return {name: [element[name] for element in elements] for name in names}
