"""A cell of a table: one ranker from one seed, trained and scored as a Ray task."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import pyarrow.parquet as pq
import ray

from rayrank.errors import RayrankError
from rayrank.evaluate.config import EvaluateConfig
from rayrank.evaluate.predict import predict_here
from rayrank.evaluate.run import SCORES
from rayrank.run.folder import RunFolder
from rayrank.schema import Schema
from rayrank.storage import AnyPath, place, writing_file
from rayrank.train.config import RankerConfig
from rayrank.train.finished import checkpoint_origin, finished_checkpoint, is_finished
from rayrank.train.run import ranker_made_from, train_here
from rayrank.versions import claim


class Ground(NamedTuple):
    """What the cells of one log stand on."""

    folder: str
    """Of the log's run."""
    rows: str
    """The version of the user rows."""
    split: str
    """Which of them are scored: `valid` or `test`."""
    schema: Schema
    settings: EvaluateConfig


class Cell(NamedTuple):
    """A ranker to train and score."""

    model: str
    """Whose versions it lies among."""
    config: RankerConfig

    def trained_in(self, ground: Ground) -> AnyPath:
        """The folder of its training run."""
        folder = RunFolder(ground.folder).ranker(self.model)
        made_from = ranker_made_from(place(ground.rows), self.config, ground.schema)
        return claim(folder, made_from, new=True)

    def scored_in(self, ground: Ground) -> AnyPath | None:
        """The file of its scores; None where it is not trained."""
        trained = self.trained_in(ground)
        if not is_finished(trained):
            return None
        made_from = checkpoint_origin(place(ground.rows), trained, finished_checkpoint(trained))
        scores = RunFolder(ground.folder).evaluations / self.model
        return claim(scores, made_from | {"split": ground.split}, new=True) / SCORES


class Made(NamedTuple):
    """A cell that is trained and scored, or why it is not."""

    cell: Cell
    scores: AnyPath | None
    told: list[str]
    """What training had to say."""
    fault: RayrankError | None = None


def make(cells: Sequence[Cell], ground: Ground) -> Iterator[Made]:
    """Train and score cells, so many at a time as the cluster has CPUs, as they are done; those
    that are made already come first. Equal cells are made once."""
    waiting, running = list[Cell](), dict[ray.ObjectRef, Cell]()
    seen: set[AnyPath] = set()
    for cell in cells:
        folder = cell.trained_in(ground)
        if folder not in seen:
            seen.add(folder)
            scores = cell.scored_in(ground)
            if scores is not None and scores.exists():
                yield Made(cell, scores, [])
            else:
                waiting.append(cell)
    at_once = int(ray.cluster_resources()["CPU"])
    while waiting or running:
        while waiting and len(running) < at_once:
            cell = waiting.pop(0)
            running[make_one.remote(cell, ground)] = cell
        (done, *_), _ = ray.wait(list(running))
        yield ray.get(done)
        del running[done]


# Nowhere in particular: Tune's trials would keep it among what they asked for.
@ray.remote(num_cpus=1, max_retries=0, scheduling_strategy="DEFAULT")
def make_one(cell: Cell, ground: Ground) -> Made:
    """Train, unless that is done, and score, unless that is."""
    told: list[str] = []
    trained = cell.trained_in(ground)
    try:
        if not is_finished(trained):
            rows, name = place(ground.rows), f"{cell.model}-{trained.name}"
            train_here(ground.schema, cell.config, rows, trained, name=name, say=told.append)
        scores = cell.scored_in(ground)
        assert scores is not None
        if not scores.exists():
            checkpoint = finished_checkpoint(trained)
            rows = place(ground.rows) / ground.split
            scored = predict_here(cell.config, ground.schema, checkpoint, rows, ground.settings)
            with writing_file(scores) as writing:
                pq.write_table(scored, writing)
    except RayrankError as fault:
        return Made(cell, None, told, fault)
    return Made(cell, scores, told)


def seeded(model: str, config: RankerConfig, seeds: Iterable[int]) -> list[Cell]:
    """The same from several seeds."""
    return [
        Cell(
            model,
            config.model_copy(update={"train": config.train.model_copy(update={"seed": seed})}),
        )
        for seed in seeds
    ]
