"""What the engine's parts bring on this CPU: ratios of one run, in runs/bench/engine.json.

    python -m bench.engine [--size small] [--out runs/bench/engine.json]

A model of random weights scores users of 1,000 behaviours: what a kept prefix saves, what more
candidates cost, what the last layer's cut saves in scoring and in a training step, and what a
request costs among 48 that wait (of a `tiny` model and a short history, where a request alone is
mostly overhead).
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from benchmarks.cpu_measure import best_of, machine, versions
from hstu_kernels import jagged_concat, jagged_split
from rayrank.data.jagged import JaggedBatch, to_jagged
from rayrank.data.scale import Scale
from rayrank.data.user_rows import row_schema
from rayrank.embedding.tables import LocalTables
from rayrank.infer.bundle import Bundle, Manifest
from rayrank.infer.engine import Engine
from rayrank.model.build import build_model
from rayrank.model.mtgr import MTGR, MTGRConfig
from rayrank.model.sequence import sequence
from rayrank.schema import Schema

WINDOW_MS = 1_790_784_000_000
ITEMS = 5000
HISTORY, REALTIME, SHORT_HISTORY = 1000, 8, 60
WAITING = 48
ROUNDS = 7
SCHEMA = Schema.model_validate(
    {
        "name": "bench",
        "user": "user",
        "item": "item",
        "time": "time",
        "sequences": {"clicks": {"from": "events", "type": "click"}},
        "tables": {"item": {"dim": 32, "capacity": 1 << 14}, "shop": {"dim": 16}},
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
            "shop": draw.integers(0, 500, count).tolist(),
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
    tables({"item": torch.arange(ITEMS), "shop": torch.arange(500)})  # each id its row
    return ranker.eval()


def engine(ranker: MTGR, cache_bytes: int) -> Engine:
    manifest = Manifest.model_construct(ranker="mtgr", version="bench")
    return Engine(Bundle(manifest, SCHEMA, ranker), cache_bytes=cache_bytes)


def scoring(size: str) -> dict[str, Any]:
    ranker = model(size)
    fresh, keeping = engine(ranker, 0), engine(ranker, 1 << 30)
    few, many = row(1, HISTORY, 100), row(1, HISTORY, 1000)
    found = best_of(
        {
            "fresh_100": lambda: fresh.submit(few).result(),
            "kept_100": lambda: keeping.submit(few).result(),
            "fresh_1000": lambda: fresh.submit(many).result(),
            "kept_1000": lambda: keeping.submit(many).result(),
        },
        ROUNDS,
    )
    fresh.close()
    keeping.close()
    return {
        "prefix_cache_speedup": found["fresh_100"] / found["kept_100"],
        "candidates_1000_over_100": found["fresh_1000"] / found["fresh_100"],
        "candidates_1000_over_100_kept": found["kept_1000"] / found["kept_100"],
        "milliseconds": {name: 1000 * value for name, value in found.items()},
    }


def whole_pass(ranker: MTGR, batch: JaggedBatch) -> torch.Tensor:
    """As `forward`, but with every token through the last layer."""
    layout = sequence(batch, SCHEMA)
    x_TD = jagged_concat(ranker.tokenizer(batch, ranker.lookup(batch)), layout.segment_offsets)
    for layer in ranker.layers:
        x_TD = layer(x_TD, layout)
    *_, c_CD = jagged_split(x_TD, layout.segment_offsets, layout.segment_tokens)
    return ranker._logits(c_CD, ranker._candidate_groups(batch))


def last_layer(size: str) -> dict[str, Any]:
    ranker = model(size)
    batch = to_jagged(row(1, HISTORY, 100), SCHEMA)

    @torch.inference_mode()
    def score(way: Callable[[JaggedBatch], torch.Tensor]) -> torch.Tensor:
        return way(batch)

    def step(way: Callable[[JaggedBatch], torch.Tensor]) -> float:
        ranker.zero_grad()
        loss = ranker.loss(way(batch), batch)
        loss.backward()
        return float(loss.detach())

    def whole(of: JaggedBatch) -> torch.Tensor:
        return whole_pass(ranker, of)

    apart = abs(step(whole) - step(ranker))
    found = best_of(
        {
            "whole": lambda: score(whole),
            "cut": lambda: score(ranker),
            "train_whole": lambda: step(whole),
            "train_cut": lambda: step(ranker),
        },
        ROUNDS,
    )
    return {
        "last_layer_saving": found["whole"] / found["cut"],
        "last_layer_saving_training": found["train_whole"] / found["train_cut"],
        "last_layer_loss_difference": apart,
    }


def batching() -> dict[str, Any]:
    one = engine(model("tiny"), 0)
    rows = [row(seed, SHORT_HISTORY, 20) for seed in range(WAITING)]

    def together() -> None:
        for asked in [one.submit(each) for each in rows]:
            asked.result()

    ways = {"alone": lambda: one.submit(rows[0]).result(), "together": together}
    found = best_of(ways, ROUNDS)
    one.close()
    per_request = found["together"] / WAITING
    return {
        "batched_over_alone": per_request / found["alone"],
        "alone_ms": 1000 * found["alone"],
        "together_ms": 1000 * per_request,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="small")
    parser.add_argument("--out", type=Path, default=Path("runs/bench/engine.json"))
    asked = parser.parse_args()
    result = {
        "size": asked.size,
        "history": HISTORY,
        **scoring(asked.size),
        **last_layer(asked.size),
        **batching(),
        "threads": torch.get_num_threads(),
        "machine": machine(),
        "versions": versions(),
    }
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
