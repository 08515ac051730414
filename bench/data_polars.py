"""The same grouping by Polars in one process: what a build is measured against.

Reads the log that `data_log` writes and writes the same user rows: profile, three sequences cut at
midnight into static and realtime lists, candidates, attributed labels. Left out are checks,
visibility counts, and the order of rows.

    python -m bench.data_polars LOG OUT      prints seconds and the most memory it took
"""

import json
import resource
import sys
import time
from pathlib import Path

import polars as pl

ZONE_MS, DAY_MS, HOUR_MS = 8 * 3_600_000, 86_400_000, 3_600_000
KEEP = {"views": 50, "clicks": 200, "orders": 50}


def group(log: Path, out: Path) -> None:
    """Build all user rows of a log."""
    items = pl.read_parquet(log / "items.parquet").select(
        "item_id", "category", price=pl.col("price").log1p().cast(pl.Float32)
    )
    events = pl.read_parquet(log / "events").select("user_id", "item_id", "time_ms")
    shown = (
        pl.read_parquet(log / "exposures")
        .sort("user_id", "time_ms", maintain_order=True)
        .with_row_index("exposure")
        .join(items, on="item_id", how="left", maintain_order="left")
        .with_columns(
            window=(pl.col("time_ms") + ZONE_MS) // DAY_MS * DAY_MS - ZONE_MS,
            position=pl.col("position").cast(pl.Int64),
            click=pl.col("click").cast(pl.Float32),
        )
    )
    shown = shown.join(_orders(shown, events), on="exposure", how="left").with_columns(
        order=pl.col("order_at").is_not_null().cast(pl.Float32)
    )
    older = (pl.col("age") >= edge for edge in range(20, 60, 10))
    users = pl.read_parquet(log / "users.parquet").select(
        "user_id",
        "city",
        age=pl.sum_horizontal(*older),
    )
    candidates = ["time_ms", "item_id", "category", "price", "position", "item_ctr"]
    rows = (
        shown.group_by("user_id", "window", maintain_order=True)
        .agg(*candidates, label_click="click", label_order="order", last=pl.col("time_ms").last())
        .join(users, on="user_id", how="left", maintain_order="left")
    )
    views = shown.select(
        "user_id", "item_id", "category", "click", time="time_ms", known_at="known_ms"
    )
    clicks = views.filter(pl.col("click") == 1).drop("click")
    orders = events.select("user_id", "item_id", time="time_ms", known_at="time_ms").join(
        items.drop("price"), on="item_id", how="left", maintain_order="left"
    )
    for name, table in (("views", views), ("clicks", clicks), ("orders", orders)):
        rows = _with_sequence(rows, name, table)
    ordered = shown["time_ms"].sort()
    cut = ordered[int(0.8 * len(ordered))]
    out.mkdir(parents=True, exist_ok=True)
    rows = rows.with_columns(split=(pl.col("last") >= cut).cast(pl.Int8))
    for split in (0, 1):
        rows.filter(pl.col("split") == split).write_parquet(
            out / f"{split}.parquet", compression="snappy", row_group_size=512 * 64
        )


def _orders(shown: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """Of each exposure that an order belongs to, when the first one was."""
    clicked = shown.filter(pl.col("click") == 1).select(
        "user_id", "item_id", "exposure", at="known_ms"
    )
    touched = events.sort("time_ms").join_asof(
        clicked.sort("at"),
        left_on="time_ms",
        right_on="at",
        by=["user_id", "item_id"],
        strategy="backward",
        tolerance=HOUR_MS,
    )
    return touched.drop_nulls("exposure").group_by("exposure").agg(order_at=pl.col("time_ms").min())


def _with_sequence(rows: pl.DataFrame, name: str, behaviours: pl.DataFrame) -> pl.DataFrame:
    """Rows with a sequence's static and realtime lists."""
    behaviours = behaviours.sort("user_id", "known_at", maintain_order=True).with_columns(
        rank=pl.int_range(1, pl.len() + 1).over("user_id")
    )
    known = behaviours.select("user_id", "known_at", "rank").sort("known_at")

    def before(column: str) -> pl.Series:
        """How many were known strictly before a column's time."""
        asked = rows.select("user_id", at=pl.col(column) - 1).with_row_index("row").sort("at")
        found = asked.join_asof(
            known, left_on="at", right_on="known_at", by="user_id", strategy="backward"
        )
        return found.sort("row")["rank"].fill_null(0).cast(pl.Int64)

    cut = before("window")
    last = pl.select(pl.max_horizontal(cut, before("last"))).to_series()
    columns = [c for c in behaviours.columns if c not in ("user_id", "rank")]
    lists = behaviours.group_by("user_id", maintain_order=True).agg(*columns)
    lists = lists.rename({column: f"{name}.{column}" for column in columns})
    joined = rows.with_columns(cut=cut, until=last).join(
        lists, on="user_id", how="left", maintain_order="left"
    )
    first = (pl.col("cut") - KEEP[name]).clip(0)
    parts = []
    for column in columns:
        of = pl.col(f"{name}.{column}")
        parts.append(of.list.slice(first, pl.col("cut") - first).alias(f"static_{name}.{column}"))
        parts.append(
            of.list.slice(pl.col("cut"), pl.col("until") - pl.col("cut")).alias(
                f"realtime_{name}.{column}"
            )
        )
    whole = [f"{name}.{column}" for column in columns]
    return joined.with_columns(*parts).drop(*whole, "cut", "until")


if __name__ == "__main__":
    begun = time.perf_counter()
    group(Path(sys.argv[1]), Path(sys.argv[2]))
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "peak_bytes": peak}))
