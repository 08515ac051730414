"""A data set unlike the other two: string ids, no users table, a list-valued feature, a number to
predict."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SCHEMA = """\
name: podcasts
user: listener
item: episode
time: heard_at
timezone: Europe/Berlin
sequences:
  heard: {from: exposures}
  liked: {from: exposures, where: finish, keep: 100}
tables:
  listener: {dim: 8, capacity: 1000}
  episode: {dim: 8, capacity: 1000}
  topic: {dim: 8, capacity: 1000}
features:
  listener: {tokens: [profile], kind: id, table: listener}
  episode: {tokens: [heard, liked, candidate], kind: id, table: episode}
  topics: {tokens: [heard, liked, candidate], kind: ids, source: items, table: topic}
  minutes: {tokens: [heard, candidate], kind: number, source: items, transform: log1p}
  finished: {tokens: [heard], kind: number}
tasks:
  finish: {label: finished}
  listened: {kind: number, label: seconds, known_at: stopped_at}
"""


def write_podcasts(folder: Path, listeners: int = 40, days: int = 6) -> None:
    """Listeners like one topic each, finish what is about it, and listen to most of it; to a
    fiftieth of the rest. A seventh of the times nobody knows for how long."""
    generator = np.random.default_rng(0)
    names = np.array(["politics", "sport", "science", "music"])
    topics = [
        list(generator.choice(names, generator.integers(1, 3), replace=False)) for _ in range(60)
    ]
    likes = generator.choice(names, listeners)
    count = listeners * days * 5
    who = generator.integers(0, listeners, count)
    what = generator.integers(0, len(topics), count)
    start = np.datetime64("2026-06-01T00:00:00", "us")
    when = start + np.sort(generator.choice(days * 86_400, count, replace=False)) * np.timedelta64(
        1, "s"
    )
    liked = np.array([likes[u] in topics[e] for u, e in zip(who, what, strict=True)])
    finished = generator.random(count) < np.where(liked, 0.95, 0.05)
    minutes = generator.integers(5, 90, len(topics))
    part = np.where(liked, 0.9, 0.02) * generator.uniform(0.8, 1.1, count)
    seconds = np.where(np.arange(count) % 7 == 3, np.nan, 60 * minutes[what] * part)
    (folder / "exposures").mkdir(parents=True)
    exposures = pa.table(
        {
            "listener": [f"listener-{u}" for u in who],
            "episode": [f"episode/{e}" for e in what],
            "heard_at": pa.array(when, pa.timestamp("us", "UTC")),
            "finished": pa.array(finished),
            "seconds": pa.array(seconds),
            "stopped_at": pa.array(
                when + np.nan_to_num(seconds).astype("timedelta64[s]"), pa.timestamp("us", "UTC")
            ),
        }
    )
    half = count // 2
    pq.write_table(exposures.slice(0, half), folder / "exposures" / "one.parquet")
    pq.write_table(exposures.slice(half), folder / "exposures" / "two.parquet")
    pq.write_table(
        pa.table(
            {
                "episode": [f"episode/{e}" for e in range(len(topics))],
                "topics": topics,
                "minutes": minutes,
            }
        ),
        folder / "items.parquet",
    )
    (folder / "schema.yaml").write_text(SCHEMA)
