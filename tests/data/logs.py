"""Tiny logs: a schema with every kind of column, random logs that fit it, Parquet files."""

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st
from rayrank.data.log import Log
from rayrank.schema import Schema

Record = dict[str, Any]

DAY = 86_400_000
HOUR = 3_600_000
# Midnight in Shanghai.
START = 1_650_038_400_000

SHOP: Record = {
    "name": "shop",
    "user": "u",
    "item": "i",
    "time": "t",
    "timezone": "Asia/Shanghai",
    "known_at": "k",
    "outcomes": ["watched"],
    "duplicates": "keep",
    "sequences": {
        "views": {"from": "exposures"},
        "clicks": {"from": "exposures", "where": "click"},
        "buys": {"from": "exposures", "where": "order"},
        "orders": {"from": "events", "type": "order"},
        "searches": {"from": "searches", "time": "at", "known_at": "seen"},
    },
    "tables": {
        name: {"dim": 4} for name in ("item", "cat", "tag", "city", "age", "outcome", "query")
    },
    "features": {
        "city": {
            "tokens": ["profile"],
            "kind": "id",
            "source": "users",
            "table": "city",
            "default": -1,
        },
        "age": {
            "tokens": ["profile"],
            "kind": "bucket",
            "source": "users",
            "table": "age",
            "boundaries": [18, 40],
            "default": 0,
        },
        "i": {
            "tokens": ["views", "clicks", "buys", "orders", "candidate"],
            "kind": "id",
            "table": "item",
        },
        "cat": {
            "tokens": ["views", "orders", "candidate"],
            "kind": "id",
            "source": "items",
            "table": "cat",
            "default": 7,
        },
        "tags": {"tokens": ["candidate"], "kind": "ids", "source": "items", "table": "tag"},
        "price": {
            "tokens": ["candidate"],
            "kind": "number",
            "source": "items",
            "transform": "log1p",
            "default": 0,
        },
        "watched": {"tokens": ["views"], "kind": "number"},
        "click": {"tokens": ["views"], "kind": "id", "table": "outcome", "default": 2},
        "query": {"tokens": ["searches"], "kind": "id", "table": "query"},
        "ctr": {"tokens": ["candidate"], "kind": "number", "as_of": "s"},
    },
    "tasks": {
        "click": {"label": "click"},
        "order": {"event": "order", "within": "1h", "after": "click", "given": "click"},
    },
}

TYPES = {
    "exposures": {
        "u": pa.int64(),
        "i": pa.int64(),
        "t": pa.int64(),
        "k": pa.int64(),
        "seconds": pa.float64(),
        "watched": pa.float64(),
        "click": pa.int64(),
        "ctr": pa.float64(),
        "s": pa.int64(),
        "r": pa.int64(),
    },
    "items": {
        "i": pa.int64(),
        "cat": pa.int64(),
        "tags": pa.list_(pa.int64()),
        "price": pa.float64(),
        "h": pa.int64(),
    },
    "users": {"u": pa.int64(), "city": pa.int64(), "age": pa.int64(), "h": pa.int64()},
    "events": {"u": pa.int64(), "i": pa.int64(), "t": pa.int64(), "type": pa.string()},
    "searches": {"u": pa.int64(), "query": pa.int64(), "at": pa.int64(), "seen": pa.int64()},
}
ALL_USERS_ALIKE = dict.fromkeys(["features.city", "features.age", "tables.city", "tables.age"])
"""Changes to a shop without profiles."""


def shop(changes: Record | None = None) -> Record:
    """The content of a schema.yaml; `changes` are dotted keys, None removes one."""
    content = copy.deepcopy(SHOP)
    for key, value in (changes or {}).items():
        *path, last = key.split(".")
        inner = content
        for part in path:
            inner = inner[part]
        if value is None:
            inner.pop(last, None)
        else:
            inner[last] = copy.deepcopy(value)
    return content


def shop_schema(changes: Record | None = None) -> Schema:
    return Schema.model_validate(shop(changes))


@dataclass
class Records:
    """A log as plain Python."""

    exposures: list[Record] = field(default_factory=list)
    events: list[Record] = field(default_factory=list)
    users: list[Record] = field(default_factory=list)
    items: list[Record] = field(default_factory=list)
    searches: list[Record] = field(default_factory=list)

    def table(self, name: str, types: Record | None = None) -> pa.Table:
        fields = pa.schema(TYPES[name] | (types or {}))
        return pa.Table.from_pylist(getattr(self, name), schema=fields)

    def tables(self) -> dict[str, pa.Table]:
        return {name: self.table(name) for name in TYPES}


def shown(user: Any = 1, item: Any = 1, time: int = START, **columns: Any) -> Record:
    """An exposure, with something for every column of the shop."""
    return {
        "u": user,
        "i": item,
        "t": time,
        "k": time,
        "watched": 0.5,
        "click": 0,
        "ctr": 0.25,
        "s": time,
        "r": 0,
    } | columns


def ordered(user: Any, item: Any, time: int) -> Record:
    return {"u": user, "i": item, "t": time, "type": "order"}


def searched(user: Any, query: int, time: int, late: int = 0) -> Record:
    return {"u": user, "query": query, "at": time, "seen": time + late}


# Dense, and around midnights: few hours of three days, a moment every ten minutes of them.
TIMES = st.builds(
    lambda hour, moment: START + hour * HOUR + moment * 600_000,
    st.sampled_from([0, 1, 9, 23, 24, 25, 47, 48]),
    st.integers(0, 5),
)
SHARES = st.integers(0, 8).map(lambda eighths: eighths / 8)


@st.composite
def exposures(draw: st.DrawFn, users: int = 4) -> Record:
    time = draw(TIMES)
    return shown(
        draw(st.integers(-1, users - 2)),
        draw(st.integers(0, 3)),
        time,
        k=time + draw(st.sampled_from([0, 1, 60_000, HOUR, 30 * HOUR])),
        s=time - draw(st.sampled_from([0, 1, HOUR])),
        watched=draw(SHARES),
        click=draw(st.sampled_from([0, 1, 1, None])),
        ctr=draw(SHARES),
        r=draw(st.integers(0, 2)),
    )


SEARCHES = st.builds(
    searched, st.integers(-1, 2), st.integers(0, 5), TIMES, st.sampled_from([0, 1, HOUR])
)


@st.composite
def logs(
    draw: st.DrawFn,
    min_size: int = 1,
    max_size: int = 16,
    users: int = 4,
    *,
    versions: bool = False,
) -> Records:
    """Few users and items, many coincidences; some users and items lack a row of their own. With
    versions, some have several, that hold from `h`."""
    events = st.builds(ordered, st.integers(-1, 2), st.integers(0, 3), TIMES)
    holds = TIMES if versions else st.just(0)
    profiles = st.fixed_dictionaries(
        {
            "u": st.integers(-1, 3),
            "city": st.none() | st.integers(0, 5),
            "age": st.none() | st.integers(0, 60),
            "h": holds,
        }
    )
    items = st.fixed_dictionaries(
        {
            "i": st.integers(0, 4),
            "cat": st.none() | st.integers(0, 5),
            "tags": st.none() | st.lists(st.integers(-5, 5), max_size=3),
            "price": st.none() | SHARES,
            "h": holds,
        }
    )
    most = 10 if versions else 4
    return Records(
        exposures=draw(st.lists(exposures(users), min_size=min_size, max_size=max_size)),
        events=draw(st.lists(events, max_size=max_size)),
        users=draw(st.lists(profiles, max_size=most, unique_by=lambda u: (u["u"], u["h"]))),
        items=draw(st.lists(items, max_size=most, unique_by=lambda i: (i["i"], i["h"]))),
        searches=draw(st.lists(SEARCHES, max_size=max_size)),
    )


def write(folder: Path, tables: dict[str, pa.Table], files: int = 1) -> Log:
    """The tables as Parquet: one file each, or a folder of `files` files with every n-th row."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        if files == 1:
            pq.write_table(table, folder / f"{name}.parquet")
            continue
        (folder / name).mkdir()
        for part in range(files):
            mine = table.take(pa.array(range(part, len(table), files), pa.int64()))
            pq.write_table(mine, folder / name / f"{part}.parquet")
    return Log(str(folder))
