"""What the endpoint is asked in benchmarks: the demo's own request and longer ones, and requests
so heavy that the engine is the limit, with a bundle of random weights that scores them."""

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from rayrank.embedding.tables import LocalTables
from rayrank.infer.bundle import write_bundle
from rayrank.infer.drift import Reference
from rayrank.model.mtgr import MTGRConfig
from rayrank.versions import CURRENT, name_version

from bench.engine_rows import ITEMS, SCHEMA, WINDOW_MS, model

Request = dict[str, Any]
NOW = WINDOW_MS + 12 * 3_600_000
DAY_MS = 86_400_000


def of_candidates(request: Request, count: int) -> Request:
    """The same user with so many candidates: its own, again and again."""
    columns = request["candidates"]
    places = np.arange(count) % len(columns["item"])
    return request | {"candidates": {n: [of[i] for i in places] for n, of in columns.items()}}


def as_arrow(request: Request) -> bytes:
    """The same as a feature store has it: int64 ids and times, float32 numbers, strings."""

    def narrow(kind: pa.DataType) -> pa.DataType:
        if pa.types.is_struct(kind):
            return pa.struct([field.with_type(narrow(field.type)) for field in kind])
        if pa.types.is_list(kind):
            return pa.list_(narrow(kind.value_type))
        return pa.float32() if pa.types.is_float64(kind) else kind

    found = pa.Table.from_pylist([request])
    schema = pa.schema([field.with_type(narrow(field.type)) for field in found.schema])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_table(pa.Table.from_pylist([request], schema))
    return bytes(sink.getvalue())


def heavy(user: int, history: int, candidates: int) -> bytes:
    """A request for `random_bundles`, of a user who differs from every other one."""
    draw = np.random.default_rng(user)

    def ids(count: int) -> Request:
        return {
            "item_id": draw.integers(0, ITEMS, count).tolist(),
            "shop": draw.integers(0, 500, count).tolist(),
        }

    times = WINDOW_MS - np.sort(draw.integers(0, DAY_MS, history))[::-1]
    shown = ids(candidates)
    return orjson.dumps(
        {
            "user": user,
            "time_ms": NOW,
            "profile": {"age": float(draw.normal())},
            "sequences": {"clicks": {"time_ms": times.tolist(), **ids(history)}},
            "candidates": {
                "item": shown["item_id"],
                "rate": draw.random(candidates).tolist(),
                **shown,
            },
        }
    )


def heavy_tokens(history: int, candidates: int) -> int:
    """Of such a request: one more for its profile."""
    return 1 + history + candidates


def random_bundles(bundles: Path, size: str, count: int = 1) -> list[str]:
    """So many versions of random weights, the first of which is current."""
    ranker = model(size)
    assert isinstance(ranker.tables, LocalTables)
    versions = [
        write_bundle(
            bundles,
            ranker="mtgr",
            schema=SCHEMA,
            model=MTGRConfig.model_validate({"size": size}),
            seed=0,
            id_types={"item_id": "integer", "shop": "integer"},
            ranges={},
            reference=Reference(split="test", rows=1, scored_rows=1, scores={}, numbers={}),
            metrics={},
            made_from={},
            trained_steps=number,
            dense=ranker.dense_state(),
            rows={name: ranker.tables.rows(name) for name in SCHEMA.tables},
        ).version
        for number in range(count)
    ]
    name_version(bundles, CURRENT, versions[0])
    return versions
