"""A training run with a progress bar: the workers write a line per step, and this reads them."""

import threading
from pathlib import Path

from rayrank.config import RunConfig
from rayrank.data.source import open_log
from rayrank.run.terminal import watching
from rayrank.train.progress import STEPS, read_progress
from rayrank.train.run import train
from rayrank.watch import Watch

POLL_S = 0.5


def train_watched(config: RunConfig, name: str) -> Path:
    """Train a ranker of the config on RUN_DIR/rows; returns its last checkpoint."""
    folder = config.run_dir / "rankers" / name
    _, schema = open_log(config.data, config.run_dir)
    over = threading.Event()
    with watching(f"training {name}") as watch:
        watcher = threading.Thread(target=_follow, args=(folder / STEPS, watch, over))
        watcher.start()
        try:
            return train(schema, config.rankers[name], config.run_dir / "rows", folder)
        finally:
            over.set()
            watcher.join()


def _follow(path: Path, watch: Watch, over: threading.Event) -> None:
    finished = False
    while not finished:
        finished = over.wait(POLL_S)
        steps = read_progress(path)
        if steps:
            watch(steps[-1]["batches"], steps[-1]["of"])
