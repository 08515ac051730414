"""A log of any size to measure a build with: the shape of a feed, its content without meaning."""

import numpy as np
import pandas as pd
from rayrank.storage import AnyPath, write_whole, writing_file

DAYS = 30
PER_USER_DAY = 10
START_MS = 1_790_784_000_000
"""2026-10-01 in Shanghai."""
DAY_MS = 86_400_000
ITEMS = 50_000

SCHEMA = """\
name: bench
user: user_id
item: item_id
time: time_ms
known_at: known_ms
timezone: Asia/Shanghai
sequences:
  views: {from: exposures, keep: 50}
  clicks: {from: exposures, where: click, keep: 200}
  orders: {from: events, type: order, keep: 50}
tables:
  item: {dim: 16}
  category: {dim: 8}
  city: {dim: 8}
  age: {dim: 8}
  position: {dim: 8}
features:
  city: {tokens: [profile], kind: id, source: users, table: city}
  age: {tokens: [profile], kind: bucket, source: users, table: age, boundaries: [20, 30, 40, 50]}
  item_id: {tokens: [views, clicks, orders, candidate], kind: id, table: item}
  category: {tokens: [views, clicks, orders, candidate], kind: id, source: items, table: category}
  price: {tokens: [candidate], kind: number, source: items, transform: log1p}
  position: {tokens: [candidate], kind: id, table: position}
  item_ctr: {tokens: [candidate], kind: number}
  click: {tokens: [views], kind: number, default: 0}
tasks:
  click: {label: click}
  order: {event: order, within: 1h, after: click, given: click}
"""


def write_bench_log(out: AnyPath, exposures: int, seed: int = 0) -> None:
    """`exposures` over 30 days, of a tenth as many user-days; a file of each day."""
    rng = np.random.default_rng(seed)
    users = max(1, exposures // (DAYS * PER_USER_DAY))
    for day in range(DAYS):
        # A day's exposures come in slates of ten, in the order in which they were written.
        user = rng.permutation(np.repeat(np.arange(users), PER_USER_DAY))
        time = START_MS + day * DAY_MS + np.sort(rng.integers(0, DAY_MS - 3_600_000, len(user)))
        item = (ITEMS * rng.random(len(user)) ** 3).astype(np.int64)
        click = rng.random(len(user)) < 0.15
        known = time + rng.integers(1_000, 300_000, len(user))
        shown = pd.DataFrame(
            {
                "user_id": user,
                "item_id": item,
                "time_ms": time,
                "known_ms": known,
                "click": click.astype(np.int8),
                "position": rng.integers(0, 10, len(user)).astype(np.int8),
                "item_ctr": rng.random(len(user)).astype(np.float32),
            }
        )
        ordered = np.flatnonzero(click & (rng.random(len(user)) < 0.1))
        events = shown.loc[ordered, ["user_id", "item_id"]].assign(
            time_ms=known[ordered] + rng.integers(1_000, 3_000_000, len(ordered)), type="order"
        )
        for name, table in (("exposures", shown), ("events", events)):
            with writing_file(out / name / f"day-{day:02d}.parquet") as file:
                table.to_parquet(file, index=False)
    tables: dict[str, dict[str, np.ndarray]] = {
        "items": {
            "item_id": np.arange(ITEMS),
            "category": rng.integers(0, 300, ITEMS),
            "price": rng.gamma(2, 20, ITEMS),
        },
        "users": {
            "user_id": np.arange(users),
            "city": rng.integers(0, 300, users),
            "age": rng.integers(15, 70, users),
        },
    }
    for name, columns in tables.items():
        with writing_file(out / f"{name}.parquet") as file:
            pd.DataFrame(columns).to_parquet(file, index=False)
    write_whole(out / "schema.yaml", SCHEMA)
