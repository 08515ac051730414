"""Conversions that come late: what it costs to take a label that is not known yet for a negative.

    python -m bench.delayed [--seeds 3] [--out runs/bench/delayed.json]

A log of twelve days ends while conversions of its last seven are still coming: within 7 days, after
a delay that is exponential with a mean of two. New items come every day. MTGR is trained twice on
the same rows with the same seed: on labels of which the unknown ones are masked, as the builder
makes them, and on the same labels with 0 in place of unknown. Both are scored against the truth,
which only the simulation knows, on the day after the log's end.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from rayrank.data.jagged import to_jagged
from rayrank.data.packing import pack, row_costs
from rayrank.data.partition import build_rows
from rayrank.embedding.tables import LocalTables
from rayrank.metrics import auc
from rayrank.model.build import build_model, parse_model_config
from rayrank.model.ranker import Ranker
from rayrank.schema import Schema

DAY_MS = 86_400_000
START_MS = 1_790_784_000_000
DAYS, WITHIN_DAYS, DELAY_DAYS = 12, 7, 2.0
USERS, ITEMS, PER_DAY = 500, 200, 8
KINDS = 8
SCHEMA = Schema.model_validate(
    {
        "name": "conversions",
        "user": "user",
        "item": "item",
        "time": "time",
        "timezone": "UTC",
        "sequences": {"seen": {"from": "exposures", "keep": 10}},
        "tables": {"item": {"dim": 8}, "kind": {"dim": 8}, "taste": {"dim": 8}},
        "features": {
            "taste": {"tokens": ["profile"], "kind": "id", "source": "users", "table": "taste"},
            "item_id": {
                "tokens": ["seen", "candidate"],
                "kind": "id",
                "column": "item",
                "table": "item",
            },
            "kind": {
                "tokens": ["seen", "candidate"],
                "kind": "id",
                "source": "items",
                "table": "kind",
            },
        },
        "tasks": {"convert": {"event": "convert", "within": f"{WITHIN_DAYS}d"}},
    }
)


def simulate(seed: int) -> tuple[dict[str, pa.Table], pd.DataFrame]:
    """The log's tables, and every exposure with its true label, those of the day after too."""
    rng = np.random.default_rng(seed)
    quality = rng.normal(-2.2, 1.0, ITEMS)
    kind = rng.integers(0, KINDS, ITEMS)
    born = np.where(rng.random(ITEMS) < 0.7, -1, rng.integers(0, DAYS, ITEMS))
    taste = rng.integers(0, KINDS, USERS)
    days = []
    for day in range(DAYS + 1):
        there = np.flatnonzero(born < day)
        user = np.repeat(np.arange(USERS), PER_DAY)
        item = there[rng.integers(0, len(there), len(user))]
        time = START_MS + day * DAY_MS + rng.integers(0, DAY_MS, len(user))
        logit = quality[item] + 1.5 * (kind[item] == taste[user])
        converts = rng.random(len(user)) < 1 / (1 + np.exp(-logit))
        delay = rng.exponential(DELAY_DAYS * DAY_MS, len(user)).astype(np.int64)
        converts &= delay <= WITHIN_DAYS * DAY_MS
        days.append(
            pd.DataFrame(
                {"user": user, "item": item, "time": time, "truth": converts, "delay": delay}
            )
        )
    shown = pd.concat(days, ignore_index=True).drop_duplicates(["user", "item"])
    ends = START_MS + DAYS * DAY_MS
    came = shown[shown["truth"] & (shown["time"] + shown["delay"] < ends)]
    events = came[["user", "item"]].assign(time=came["time"] + came["delay"], type="convert")
    tables = {
        "exposures": shown[["user", "item", "time"]],
        "events": events,
        "items": pd.DataFrame({"item": np.arange(ITEMS), "kind": kind}),
        "users": pd.DataFrame({"user": np.arange(USERS), "taste": taste}),
    }
    return {n: pa.Table.from_pandas(t, preserve_index=False) for n, t in tables.items()}, shown


def measure(seed: int) -> dict[str, float]:
    """AUC against the truth on the day after the log's end, and what was taken for negative."""
    tables, shown = simulate(seed)
    ends = START_MS + DAYS * DAY_MS
    built = build_rows(tables, SCHEMA, [ends, ends], complete_until_ms=ends - 1)
    train = built.rows.filter(pa.array(built.split == 0))
    test = to_jagged(built.rows.filter(pa.array(built.split != 0)), SCHEMA)
    truth = shown.set_index(["user", "item"])["truth"].to_dict()
    rows = built.rows.filter(pa.array(built.split != 0))
    shown_items = rows["candidates"].combine_chunks().field("item")
    users = np.repeat(rows["user"].to_numpy(), np.diff(shown_items.offsets.to_numpy()))
    keys = zip(users.tolist(), shown_items.flatten().to_pylist(), strict=True)
    label = np.array([truth[key] for key in keys])
    masked, naive = (_trained(train, seed, naive=naive) for naive in (False, True))
    labels = train["labels"].combine_chunks().field("convert").flatten()
    converts = shown[(shown["time"] < ends) & shown["truth"]]
    late = converts[converts["time"] + converts["delay"] >= ends]
    with torch.no_grad():
        scores = [model.predictions(model(test)).squeeze(1).numpy() for model in (masked, naive)]
    return {
        "unknown_share": labels.null_count / len(labels),
        "positives_taken_for_negatives": len(late)
        / int(shown[shown["time"] < ends]["truth"].sum()),
        "masked_auc": auc(label.astype(np.float64), scores[0].astype(np.float64)),
        "naive_auc": auc(label.astype(np.float64), scores[1].astype(np.float64)),
        "masked_mean": float(scores[0].mean()),
        "naive_mean": float(scores[1].mean()),
        "true_rate": float(label.mean()),
    }


def _trained(rows: pa.Table, seed: int, *, naive: bool) -> Ranker:
    torch.manual_seed(seed)
    config = parse_model_config({"kind": "mtgr", "size": "tiny", "attention_length": 32})
    tables = LocalTables(SCHEMA.tables, init_std=0.1, seed=seed)
    ranker = build_model(SCHEMA, config, tables, scales={})
    optimizer = torch.optim.Adam(ranker.parameters(), lr=3e-3)
    rows = rows.take(pa.array(np.random.default_rng(seed).permutation(len(rows))))
    for _ in range(2):
        for picked in pack(row_costs(rows, 0.0), 2048):
            batch = to_jagged(rows.slice(picked[0], len(picked)), SCHEMA)
            if naive:
                batch.labels("convert").nan_to_num_(0.0)  # in place: unknown is no
            loss = ranker.loss(ranker(batch), batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return ranker.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/bench/delayed.json"))
    told = parser.parse_args()
    torch.set_num_threads(1)  # of small operations two threads make slow ones beside other work
    found = [measure(seed) for seed in range(told.seeds)]
    table = pd.DataFrame(found)
    gain = table["masked_auc"] - table["naive_auc"]
    result: dict[str, Any] = {
        "seeds": told.seeds,
        "mean": table.mean().to_dict(),
        "deviation": table.std().to_dict(),
        "gain": {"mean": gain.mean(), "deviation": gain.std(), "least": gain.min()},
    }
    told.out.parent.mkdir(parents=True, exist_ok=True)
    told.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
