"""Users of 1,000 behaviours, and a ranker of random weights that scores them."""

from typing import Any

import numpy as np
import pyarrow as pa
import torch
from rayrank.data.scale import Scale
from rayrank.data.user_rows import row_schema
from rayrank.embedding.frozen import FrozenTables, freeze
from rayrank.embedding.tables import LocalTables
from rayrank.infer.bundle import Bundle, Manifest
from rayrank.infer.engine import Engine
from rayrank.infer.scorer import Precision
from rayrank.model.build import build_model
from rayrank.model.mtgr import MTGR, MTGRConfig
from rayrank.schema import Schema

WINDOW_MS = 1_790_784_000_000
ITEMS, SHOPS, REALTIME = 5000, 500, 8
SCHEMA = Schema.model_validate(
    {
        "name": "bench",
        "user": "user",
        "item": "item",
        "time": "time",
        "sequences": {"clicks": {"from": "events", "type": "click"}},
        "tables": {
            "item": {"dim": 32, "capacity": 1 << 14},
            "shop": {"dim": 16, "capacity": 1 << 10},
        },
        "features": {
            "age": {"tokens": ["profile"], "kind": "number", "source": "users"},
            "item_id": {"tokens": ["clicks", "candidate"], "kind": "id", "table": "item"},
            "shop": {"tokens": ["clicks", "candidate"], "kind": "id", "table": "shop"},
            "rate": {"tokens": ["candidate"], "kind": "number"},
        },
        "tasks": {"click": {"label": "click"}, "order": {"label": "order", "given": "click"}},
    }
)


def row(seed: int, history: int, candidates: int) -> pa.Table:
    """A user row."""
    draw = np.random.default_rng(seed)

    def elements(count: int, begin: int, **more: list[Any]) -> dict[str, Any]:
        times = (begin + np.sort(draw.integers(0, 3_600_000, count))).tolist()
        return {
            "time": times,
            "item_id": draw.integers(0, ITEMS, count).tolist(),
            "shop": draw.integers(0, SHOPS, count).tolist(),
            **more,
        }

    def behaviours(count: int, begin: int) -> dict[str, Any]:
        found = elements(count, begin)
        return found | {"known_at": found["time"]}

    shown = elements(candidates, WINDOW_MS + 7_200_000, rate=draw.random(candidates).tolist())
    labels = {task: draw.integers(0, 2, candidates).astype(float).tolist() for task in SCHEMA.tasks}
    content = {
        "user": f"u{seed}",
        "window_start": WINDOW_MS,
        "tokens": 1 + history + REALTIME + candidates,
        "visible_pairs": 0,
        "profile": {"age": float(draw.normal())},
        "static_clicks": behaviours(history, WINDOW_MS - 86_400_000),
        "realtime_clicks": behaviours(REALTIME, WINDOW_MS),
        "candidates": shown | {"item": [str(i) for i in shown["item_id"]]},
        "labels": labels,
        "labels_known_at": dict.fromkeys(SCHEMA.tasks, shown["time"]),
    }
    return pa.Table.from_pylist([content], row_schema(SCHEMA, pa.string(), pa.string()))


def model(size: str) -> MTGR:
    torch.manual_seed(0)
    config = MTGRConfig.model_validate({"size": size})
    tables = LocalTables(SCHEMA.tables, init_std=0.02, seed=0)
    scales = {"profile.age": Scale(0.0, 1.0), "candidate.rate": Scale(0.5, 0.3)}
    ranker = build_model(SCHEMA, config, tables, scales)
    assert isinstance(ranker, MTGR)
    tables({"item": torch.arange(ITEMS), "shop": torch.arange(SHOPS)})  # each id its row
    for learned in tables.learned.values():
        torch.nn.init.normal_(learned, std=0.02)
    return ranker.eval()


def engine(
    ranker: MTGR,
    cache_bytes: int,
    precision: Precision | None = None,
    replays: bool | None = None,
) -> Engine:
    """As a bundle would be served: on frozen tables."""
    trained = ranker.tables
    if isinstance(trained, LocalTables):
        ranker.tables = FrozenTables(
            {
                name: freeze(name, trained.rows(name), init_std=0.02, seed=0)
                for name in SCHEMA.tables
            }
        )
    manifest = Manifest.model_construct(ranker="mtgr", version="bench")
    bundle = Bundle(manifest, SCHEMA, ranker)
    return Engine(bundle, cache_bytes=cache_bytes, precision=precision, replays=replays)
