"""A log of one's own, from its files to a bundle that is promoted, and scores of a table with it.

    python examples/own_data.py
    python examples/own_data.py run_dir=runs/mine data.path=my/log    # any key of own_data.yaml

The log is two Parquet files and a schema.yaml. It is written here; with one of yours, all that is
yours are these files. Run it twice: what is complete is used again.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import rayrank
from rayrank import stages

SCHEMA = """\
name: podcasts
user: listener
item: episode
time: heard_at
timezone: Europe/Berlin

sequences:
  heard: {from: exposures}
  finished: {from: exposures, where: finish}

tables:
  episode: {dim: 16, capacity: 1000}
  topic: {dim: 8, capacity: 100}
  listener: {dim: 8, capacity: 1000}

features:
  listener: {tokens: [profile], kind: id, table: listener}
  episode: {tokens: [heard, finished, candidate], kind: id, table: episode}
  topic: {tokens: [heard, finished, candidate], kind: id, source: items, table: topic}
  minutes: {tokens: [heard, finished, candidate], kind: number, source: items, transform: log1p}
  was_finished: {tokens: [heard], kind: number, column: finished}

tasks:
  finish: {label: finished}
"""
DAYS, EVENING = 6, pd.Timestamp("2026-06-07 18:00", tz="UTC")


def write_log(folder: Path) -> None:
    """Forty listeners who like one topic each, and finish what is about it."""
    random = np.random.default_rng(0)
    topics = np.array(["politics", "sport", "science", "music"])
    items = pd.DataFrame(
        {
            "episode": [f"episode/{number}" for number in range(60)],
            "topic": random.choice(topics, 60),
            "minutes": random.integers(5, 90, 60),
        }
    )
    likes = random.choice(topics, 40)
    listener, episode = random.integers(0, 40, 1200), random.integers(0, 60, 1200)
    liked = items["topic"].to_numpy()[episode] == likes[listener]
    seconds = np.sort(random.choice(DAYS * 86_400, 1200, replace=False))
    exposures = pd.DataFrame(
        {
            "listener": [f"listener-{number}" for number in listener],
            "episode": items["episode"].to_numpy()[episode],
            "heard_at": pd.Timestamp("2026-06-01", tz="UTC") + pd.to_timedelta(seconds, unit="s"),
            "finished": random.random(1200) < np.where(liked, 0.95, 0.05),
        }
    )
    folder.mkdir(parents=True)
    items.to_parquet(folder / "items.parquet")
    exposures.to_parquet(folder / "exposures.parquet")
    (folder / "schema.yaml").write_text(SCHEMA)


def main(run: rayrank.Run) -> None:
    log = Path(str(run.config.data.path))
    if not log.exists():
        write_log(log)

    stages.build(run)
    stages.train(run, run.config.rankers)
    stages.evaluate(run)
    stages.export(run, "mtgr")
    stages.check(run)  # its scores over HTTP are the trainer's
    stages.promote(run)  # a service that follows run.folder.bundles takes it from here

    bundle = rayrank.load_bundle(run.folder.bundles / "current")
    heard, items = (pd.read_parquet(log / f"{name}.parquet") for name in ("exposures", "items"))
    tonight = pd.DataFrame(
        {"listener": "listener-7", "episode": items["episode"], "heard_at": EVENING}
    )
    sequences = {"heard": heard, "finished": heard[heard["finished"]]}
    scored = rayrank.score(bundle, tonight, sequences=sequences, items=items)
    print(scored.merge(items).sort_values("p.finish", ascending=False).head().to_string())


if __name__ == "__main__":
    config = rayrank.load_config(Path(__file__).with_name("own_data.yaml"), sys.argv[1:])
    own_run = rayrank.Run(config)
    with rayrank.cluster(own_run.folder, "own data"):  # or, on a Ray of yours: ray.init(...)
        main(own_run)
