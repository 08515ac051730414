"""A training run of a few steps, as it tells of itself."""

from pathlib import Path

import numpy as np
from rayrank.embedding.facts import TableFacts
from rayrank.train.checkpoint import Position
from rayrank.train.finished import JOURNAL
from rayrank.train.journal import Story
from rayrank.train.journal import read_story as read_journal
from rayrank.train.observed import Observed
from rayrank.train.optimize import StepFacts
from rayrank.train.progress import Progress
from rayrank.train.running_auc import BINS


def at(step: int, epoch: int = 0, attempt: int = 1) -> Position:
    return Position(epoch=epoch, batches=2 * step, step=step, world_size=2, attempt=attempt)


def facts(step: int) -> StepFacts:
    """Of one task; of whose labels seen so far a half are 1, above all that are 0."""
    counts = np.zeros((1, 2, BINS))
    counts[0, 0, 7] = counts[0, 1, 99] = 1
    observed = Observed(counts, flops=6e6 * step, balance=1 + step / 4)
    table = TableFacts(
        ids=50 * step,
        asked=100,
        inserted=10,
        refused=0,
        waiting=5,
        evicted=0,
        bytes=500 * step,
        capacity=1000,
    )
    return StepFacts(
        1 / step, 10 * step, 100 * step, step, step / 8, 2.0, 1.0, observed, {"item": table}
    )


def telling(folder: Path, position: Position, rank: int = 0) -> Progress:
    return Progress(folder, rank, position, total=8, tasks=["click"], peak_flops=1e9)


def take(progress: Progress, position: Position, step: int | None = None) -> None:
    """The step that ends at a position, of two batches; as step `step`, if not as its own."""
    told = facts(position.step if step is None else step)
    phases = {"forward": 0.25, "backward": 0.5}
    progress.step(position, 2 * position.step, told, position.step / 100, phases)


def read_story(folder: Path) -> Story:
    return read_journal(folder / JOURNAL)


def trained(folder: Path, rank: int = 0) -> None:
    """Four steps, an epoch's end after each two."""
    with telling(folder, at(0), rank) as progress:
        for step in range(1, 5):
            take(progress, at(step, epoch=(step - 1) // 2))
            if step % 2 == 0:
                progress.epoch(at(step, epoch=step // 2 - 1), {"click": {"auc": step / 10}})


def steps_of(folder: Path) -> list[int]:
    return [line.step for line in read_story(folder).steps]
