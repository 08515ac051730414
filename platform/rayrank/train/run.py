"""A training run: plan the epochs, start the workers, come back when they are done."""

import math
import os
from collections.abc import Callable
from typing import Any

import ray.train
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

from rayrank.data.days import rows_name
from rayrank.data.held_out import DayPart
from rayrank.data.plan import Packing, plan_epochs
from rayrank.data.planned import rows_beyond
from rayrank.embedding.budget import rules_of
from rayrank.errors import DivergedError, TrainingError
from rayrank.schema import Schema
from rayrank.storage import AnyPath, absolute, arrow_place, place
from rayrank.train.config import RankerConfig, TrainConfig
from rayrank.train.failures import failure_of, waited_in_vain
from rayrank.train.finished import BATCHES, finished_checkpoint
from rayrank.train.here import one_rank
from rayrank.train.resources import reading_lacks, threads, wanted
from rayrank.train.warm import Start, keep_schema, start_at, told_start
from rayrank.train.watchdog import stacks_in
from rayrank.train.worker import run_worker
from rayrank.versions import MadeFrom

MAY_CHANGE = (
    "workers",
    "threads",
    "use_gpu",
    "read_by",
    "max_failures",
    "hangs_after_s",
    "waits_s",
    "recompute",
    "peak_tflops",
    "checkpoint_every",
    "keep_checkpoints",
)
"""Of the training config, what a resumed run may do otherwise."""
FORMAT = 6
"""Of what training computes; raised when the same rows and config would give another ranker."""


def ranker_made_from(rows: AnyPath, config: RankerConfig, schema: Schema) -> MadeFrom:
    """What a trained ranker is made from: the version of the rows, and what config and schema say
    of its results."""
    start = start_of(config, verified=False)
    return {"rows": rows_name(rows), **config_made_from(config, schema, start)}


def config_made_from(config: RankerConfig, schema: Schema, start: Start | None) -> MadeFrom:
    """What a ranker is made from beside its rows: what the config says of its results, the losses
    that it minimises, whoever says them, and the content of the checkpoint that it begins from."""
    view = config.view.model_copy(update={"losses": {}})
    content = config.model_copy(update={"view": view}).model_dump(mode="json")
    losses = {name: loss.model_dump() for name, loss in config.view.of(schema).losses().items()}
    if losses:
        content["losses"] = losses
    for free in (*MAY_CHANGE, "start_from"):
        del content["train"][free]
    began = {} if start is None else {"start": start.origin()}
    return {**content, **began, "format": FORMAT}


def start_of(config: RankerConfig, *, verified: bool = True) -> Start | None:
    """What the config says to begin from. Raises CheckpointError where that is not there."""
    path = config.train.start_from
    return None if path is None else start_at(place(path), verified=verified)


def train(
    schema: Schema,
    config: RankerConfig,
    rows: AnyPath,
    folder: AnyPath,
    *,
    name: str,
    say: Callable[[str], None],
    start: Start | None = None,
    part: DayPart | None = None,
) -> AnyPath:
    """Train a ranker on the user rows under `rows`; everything it makes goes under `folder`.

    An unfinished run in `folder` is resumed. name: of the run in Ray's dashboard. start: what it
    begins from; part: of the training rows those it learns from, all unless said. Lost workers are
    said and replaced, up to `max_failures` times; those whose node was told to go, always. Returns
    the last checkpoint. Raises TrainingError for a fault that would come again, and for one loss
    too many; DivergedError, which is one, where numbers are not finite any more; ConfigError where
    `start` is of another seed, tables have rules that cannot be, or the config's view does not fit.
    """
    told = _prepare(schema, config, rows, folder, name, say, start, part)
    most, losses = config.train.max_failures, 0
    while True:
        stacks = stacks_in(folder)
        try:
            _trainer(config.train, told, absolute(folder), name, config.train.workers).fit()
        except ray.train.TrainingFailedError as error:
            if waited_in_vain(error):
                raise TrainingError(
                    f"training: no place for its workers in {config.train.waits_s:g} s "
                    f"(train.waits_s): {wanted(config.train)}"
                ) from None
            failure = failure_of(error)
            for path in stacks_in(folder):
                if path not in stacks:
                    after = config.train.hangs_after_s
                    say(f"no step for {after:g} s: what a worker was doing stands in {path}")
            if not failure.lost:
                kind = DivergedError if failure.diverged else TrainingError
                raise kind(f"training failed: {failure.reason}") from error
            if failure.preempted:
                say(f"{failure.reason}: going on from its checkpoint (not counted as a loss)")
                continue
            if losses == most:
                raise TrainingError(
                    f"training failed: {failure.reason}, after {most} earlier losses (max_failures)"
                ) from error
            losses += 1
            say(f"{failure.reason} ({losses} of {most} allowed): going on from its checkpoint")
        else:
            return finished_checkpoint(folder)


def train_here(
    schema: Schema,
    config: RankerConfig,
    rows: AnyPath,
    folder: AnyPath,
    *,
    name: str,
    say: Callable[[str], None],
) -> AnyPath:
    """As `train`, by one rank in the process at hand (Ray Train's local mode), whatever
    `train.workers` says: the same ranker as by one worker, bit for bit on CPUs. To start a worker
    takes longer than a small training. Faults are raised as they are, and nothing is tried again.
    """
    told = _prepare(schema, config, rows, folder, name, say, None, None)
    with one_rank():
        _trainer(config.train, told, absolute(folder), name, workers=0).fit()
    return finished_checkpoint(folder)


def _prepare(
    schema: Schema,
    config: RankerConfig,
    rows: AnyPath,
    folder: AnyPath,
    name: str,
    say: Callable[[str], None],
    start: Start | None,
    part: DayPart | None,
) -> dict[str, Any]:
    """The plan of a run's batches, and what its workers are told."""
    schema = config.view.of(schema)
    rules_of(schema.tables, config.train.tables)
    if start is not None:
        start.demand_fit(schema, config)
    keep_schema(folder, schema)
    plan_epochs(rows / "train", packing_of(config), folder / BATCHES, part)
    told: dict[str, Any] = {
        "schema": schema.model_dump(mode="json"),
        "ranker": config.model_dump(mode="json"),
        "rows": str(absolute(rows)),
        "folder": str(absolute(folder)),
        "threads": threads(config.train),
        "start": told_start(start),
    }
    own = [f"{name}: {line}" for line in (*config.view.in_words(), *schema.losses_in_words())]
    for told_early in (rows_beyond(folder / BATCHES), reading_lacks(config.train), *own):
        if told_early is not None:
            say(told_early)
    return told


def packing_of(config: RankerConfig) -> Packing:
    """What decides the batches of a training run."""
    train = config.train
    return Packing(train.seed, train.epochs, train.max_cost, config.pair_cost())


def _looks_for_s() -> float:
    """How long Ray Train waits for its workers to start, before it begins anew."""
    return float(os.environ.get("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "60"))


def _trainer(
    config: TrainConfig, told: dict[str, Any], folder: AnyPath, name: str, workers: int
) -> TorchTrainer:
    """workers: 0 for the process at hand."""
    filesystem, path = arrow_place(folder)
    return TorchTrainer(
        run_worker,
        train_loop_config=told,
        torch_config=TorchConfig(backend="nccl" if config.use_gpu else "gloo"),
        scaling_config=ScalingConfig(num_workers=workers, use_gpu=config.use_gpu),
        run_config=RunConfig(
            name=name,
            storage_path=path,
            storage_filesystem=filesystem,
            # Which failures are worth another attempt is decided here, not by Ray.
            failure_config=FailureConfig(
                max_failures=0,
                max_preemption_failures=0,
                # How often it looks again for a place for its workers.
                controller_failure_limit=max(0, math.ceil(config.waits_s / _looks_for_s()) - 1),
            ),
        ),
    )
