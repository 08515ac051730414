"""A log of the shop, what the reference makes of it, and what the builder on Ray does."""

import random
from pathlib import Path

import pyarrow.parquet as pq
from rayrank.data.build import build
from rayrank.data.config import DataConfig
from rayrank.data.log import Log
from rayrank.data.row_files import SPLITS, row_files
from rayrank.data.row_stats import RowStats
from rayrank.schema import Schema

from .logs import DAY, HOUR, START, Record, Records, ordered, searched, shop_schema, shown
from .reference import split_times, user_rows


def random_log(users: int = 14, exposures: int = 160) -> Records:
    rng = random.Random(7)
    shows, events = [], []
    for time in sorted(rng.sample(range(0, 3 * DAY, 1000), exposures)):
        e = shown(
            rng.randrange(users),
            rng.randrange(9),
            START + time,
            k=START + time + rng.randrange(2 * HOUR),
            click=rng.choice([0, 1, 0, 1, None]),
            watched=rng.randrange(8) / 8,
            ctr=rng.randrange(8) / 8,
        )
        shows.append(e)
        if rng.random() < 0.5:
            events.append(ordered(e["u"], e["i"], e["t"] + rng.randrange(2 * HOUR)))
    return Records(
        shows,
        events,
        users=[{"u": user, "city": user % 3, "age": 10 + 5 * user} for user in range(users - 2)],
        items=[
            {"i": item, "cat": item % 4, "tags": list(range(item % 3)), "price": item / 4}
            for item in range(8)
        ],
        searches=[
            searched(rng.randrange(users), rng.randrange(5), START + time, rng.randrange(HOUR))
            for time in rng.sample(range(0, 3 * DAY, 1000), exposures // 2)
        ],
    )


LOG = random_log()
SCHEMA = shop_schema({f"sequences.{name}.keep": 20 for name in ("views", "searches")})


def config(partitions: int = 3) -> DataConfig:
    return DataConfig.model_validate(
        {
            "source": "parquet",
            "path": "unused",
            "partitions": partitions,
            "split": {"valid": 0.1, "test": 0.25},
        }
    )


def run(log: Log, out: Path, *, schema: Schema = SCHEMA, partitions: int = 3) -> RowStats:
    steps: list[tuple[int, int]] = []
    stats = build(log, schema, out, config(partitions), lambda done, of: steps.append((done, of)))
    of = steps[-1][1]
    assert steps == [(done, of) for done in range(1, of + 1)]
    assert of > partitions  # the files of the log are steps too
    return stats


def content(out: Path) -> dict[str, list[Record]]:
    """The rows of each split in an order of their own."""
    return {
        split: sorted(
            pq.read_table(out / split).to_pylist(),
            key=lambda row: (str(row["user"]), row["window_start"]),
        )
        if row_files(out / split)
        else []
        for split in SPLITS
    }


def expected_rows() -> list[Record]:
    cuts = split_times([e["t"] for e in LOG.exposures], valid=0.1, test=0.25)
    return user_rows(LOG, SCHEMA, cuts)
