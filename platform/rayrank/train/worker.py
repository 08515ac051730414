"""What every training worker runs."""

import json
import os
import socket
from collections.abc import Iterator
from math import isfinite, nan
from typing import Any, NamedTuple, NoReturn

import pyarrow as pa
import ray.train
import torch
import torch.distributed as dist

from rayrank.data.on_cluster import read_on_cluster
from rayrank.data.planned import PlannedBatches, batches_of_epochs, read_here
from rayrank.data.row_stats import RowStats, read_stats
from rayrank.data.stochastic_length import StochasticLength
from rayrank.embedding.place import shard
from rayrank.embedding.sharded import ShardedTables
from rayrank.errors import TrainingError
from rayrank.metrics import QUALITY
from rayrank.model.build import build_model
from rayrank.schema import RankerSchema, Schema
from rayrank.storage import AnyPath, place, write_whole
from rayrank.train import checkpoint as ckpt
from rayrank.train.attempt import begin_attempt
from rayrank.train.config import RankerConfig
from rayrank.train.failures import lost_by
from rayrank.train.feed import Fed, feed, with_next
from rayrank.train.finished import ATTEMPTS, BATCHES, CHECKPOINTS, write_finished
from rayrank.train.finite import NotFiniteError, demand_finite, stopped_at
from rayrank.train.optimize import Optimizer
from rayrank.train.peak import peak_flops
from rayrank.train.preemption import TOO_SOON, PreemptedError, in_words, told_to_go
from rayrank.train.progress import Progress
from rayrank.train.rank_0 import from_rank_0
from rayrank.train.restore import restore_tables
from rayrank.train.saver import Saver, Snapshot
from rayrank.train.validate import Metrics, validate
from rayrank.train.warm import begin_from
from rayrank.train.watchdog import Watchdog

READERS = {"workers": read_here, "cluster": read_on_cluster}
WORKERS = "workers"
"""Who trains: a small file per rank, for a person who has to look at a process."""


def dropout_seed(seed: int, rank: int) -> int:
    """Of its own on every rank, and never that of another seed's rank (up to 65,535 ranks)."""
    return (seed << 16) + 1 + rank


class _Epoch(NamedTuple):
    """Which batches of a run are an epoch's."""

    batches: int
    before: int
    """Of earlier epochs."""
    total: int
    """Of all epochs."""


class Worker:
    """One rank: builds the sharded ranker, resumes where a checkpoint stands, trains, saves.

    Every method is collective: all ranks call it together.
    """

    def __init__(
        self,
        schema: Schema,
        config: RankerConfig,
        stats: RowStats,
        folder: AnyPath,
        rows: AnyPath,
        device: torch.device,
        start: AnyPath | None = None,
    ) -> None:
        """start: the checkpoint of another training that this one begins from."""
        self.schema, self.config, self.start = config.view.of(schema), config.train, start
        self.told = [*config.view.in_words(), *self.schema.losses_in_words()]
        self.folder, self.rows, self.device = folder, rows, device
        self.rank, self.world_size = dist.get_rank(), dist.get_world_size()
        seed = config.train.seed
        torch.manual_seed(seed)  # dense weights alike on every rank
        self.tables = ShardedTables(
            self.schema.tables,
            init_std=config.model.embedding_std,
            seed=seed,
            world_size=self.world_size,
            config=config.train.tables,
            new_ids=self.config.new_ids(self.world_size),
        )
        self.ranker = build_model(self.schema, config.model, self.tables, stats.scales())
        self.ranker.recompute = config.train.recompute
        self.sharded = shard(
            self.ranker, self.tables, device=device, learning_rate=config.train.table_learning_rate
        )
        torch.manual_seed(dropout_seed(seed, self.rank))
        self.optimizer = Optimizer(self.sharded, config.train)

        keep = ckpt.Keep(config.train.keep_checkpoints, config.train.keep_best)
        self.saver = Saver(folder, keep)
        self.attempt: int = from_rank_0(lambda: begin_attempt(folder / ATTEMPTS))
        facts = {"pid": os.getpid(), "host": socket.gethostname(), "attempt": self.attempt}
        write_whole(folder / WORKERS / f"rank-{self.rank}.json", json.dumps(facts))

    def train(self) -> None:
        """From the newest checkpoint, or the beginning, to the end."""
        position, notes = self._resume()
        of_epochs = batches_of_epochs(self.folder / BATCHES)
        total = sum(of_epochs)
        with (
            Progress(
                self.folder,
                self.rank,
                position,
                total,
                tasks=self.optimizer.observer.tasks,
                peak_flops=peak_flops(self.config.peak_tflops, self.device),
            ) as progress,
            Watchdog(self.folder, self.rank, self.attempt, self.config.hangs_after_s) as watchdog,
        ):
            for note in notes:
                progress.note(position, note)
            while position.epoch < self.config.epochs:
                self.optimizer.phases.begin("waiting")
                batches = PlannedBatches(self.rows / "train", self.folder / BATCHES, position.epoch)
                epoch = _Epoch(len(batches), sum(of_epochs[: position.epoch]), total)
                self.sharded.train()
                with feed(self._dealt(batches, position), self.schema, self.device) as steps:
                    for fed, ahead in with_next(steps):
                        position, leaves = self._step(fed, ahead, position, epoch, progress)
                        watchdog.alive()
                        if leaves:
                            self._leave(position, progress)
                        if self._due(position) and position.batches < len(batches):
                            self._save(position, progress)
                            watchdog.alive()
                metrics = validate(self.sharded, self.rows / "valid", self.schema, self.config)
                progress.epoch(position, metrics)
                self.optimizer.phases.drop()
                watchdog.alive()
                position = self._at(position.epoch + 1, 0, position.step)
                last = position.epoch == self.config.epochs
                if last or self.config.keep_best or self._due(position):
                    self._save(position, progress, self._quality(metrics))
            self._await_saved(position, progress, last=True)
        if self.rank == 0:
            # Not only after the last step: a run may have been cut between its checkpoint and this.
            there = ckpt.complete(self.folder / CHECKPOINTS)
            best = ckpt.best(there) if self.config.keep_best else None
            write_finished(self.folder, best or there[-1])

    def _dealt(self, batches: PlannedBatches, position: ckpt.Position) -> Iterator[list[pa.Table]]:
        """The rows of this rank's batches, step by step, from a position on, as they are seen."""
        config = self.config
        mine = (self.rank, self.world_size, position.batches, config.accumulate)
        steps = batches.deal(*mine, READERS[config.read_by])
        if config.stochastic_length is None:
            return steps
        seen = StochasticLength(config.stochastic_length, config.seed, position.epoch)
        return ([seen.shorten(rows, self.schema) for rows in step] for step in steps)

    def _step(
        self,
        fed: Fed,
        ahead: Fed | None,
        position: ckpt.Position,
        epoch: _Epoch,
        progress: Progress,
    ) -> tuple[ckpt.Position, bool]:
        """Take one; where the run is after it, and whether it is to stop there because a node will
        go. ahead: the one after it."""
        share = (epoch.before + position.batches) / epoch.total
        try:
            coming = None if ahead is None else ahead.batches[0]
            warned = told_to_go() is not None
            facts = self.optimizer.step(fed.batches, position.step, share, coming, warned=warned)
        except NotFiniteError as error:
            rows = pa.concat_tables(fed.rows)
            raise stopped_at(position.step, rows, error, self.folder) from None
        done = position.batches + self.world_size * self.config.accumulate
        done = min(done, epoch.batches)
        position = self._at(position.epoch, done, position.step + 1)
        self.optimizer.phases.begin("telling")
        phases = self.optimizer.phases.take()
        progress.step(position, epoch.before + done, facts, fed.waited_s, phases)
        if not isfinite(facts.gradient_norm):
            progress.note(
                position,
                f"step {position.step}: a gradient overflowed in float16; the step was skipped, "
                f"and losses are scaled by {self.optimizer.scale.value:g} from now on",
            )
        self.optimizer.phases.begin("waiting")
        return position, facts.warned == self.world_size

    def _leave(self, position: ckpt.Position, progress: Progress) -> NoReturn:
        """Save how things are now, wait for it, and end this attempt: what it did from here on
        until the node goes would be done again, and others can take its place the sooner."""
        info = told_to_go()
        assert info is not None  # every rank was told
        told = in_words(info)
        progress.note(position, f"{told}: stopping at step {position.step} with a checkpoint")
        self._save(position, progress)
        self._await_saved(position, progress)
        raise PreemptedError(f"{told}: stopped at step {position.step}")

    def _due(self, position: ckpt.Position) -> bool:
        return position.step % self.config.checkpoint_every == 0

    def _at(self, epoch: int, batches: int, step: int) -> ckpt.Position:
        return ckpt.Position(epoch, batches, step, self.world_size, self.attempt)

    def _resume(self) -> tuple[ckpt.Position, list[str]]:
        there = from_rank_0(lambda: ckpt.complete(self.folder / CHECKPOINTS))
        newest, notes = ckpt.newest_sound(there, self._faults_of)
        if newest is None:
            notes += self.told
            if self.start is not None:
                load, mine = self.optimizer.load_state, (self.rank, self.world_size)
                notes += begin_from(self.start, self.ranker, self.tables, load, *mine)
            return self._at(0, 0, 0), notes
        notes.append(f"attempt {self.attempt} goes on from {newest.name}")
        position = ckpt.read_state(newest).position
        ranks = ckpt.read_by(self.rank, self.world_size, position.world_size)
        restore_tables(self.tables, newest, self.rank, self.world_size, ranks)
        dense, optimizer = ckpt.read_dense(newest)
        self.ranker.load_dense(dense)
        self.optimizer.load_state(optimizer)
        if position.world_size == self.world_size:
            ckpt.set_random_state(ckpt.read_random(newest, self.rank), self.device)
        return self._at(position.epoch, position.batches, position.step), notes

    def _faults_of(self, checkpoint: AnyPath) -> list[str]:
        """Each rank looks at what it reads; what all found."""
        found: list[str | None] = [None] * self.world_size
        dist.all_gather_object(found, ckpt.fault_of(checkpoint, self.rank, self.world_size))
        return list(dict.fromkeys(fault for fault in found if fault is not None))

    def _save(
        self, position: ckpt.Position, progress: Progress, quality: float | None = None
    ) -> None:
        """Begin to write a checkpoint, of how things are now."""
        self.optimizer.phases.begin("saving")
        progress.flush()  # who resumes from the checkpoint finds what led to it
        self._await_saved(position, progress)
        demand_finite(position.step, self.optimizer.dense, self.tables, self.device)
        first = self.rank == 0
        snapshot = Snapshot(
            position,
            self.tables.snapshot(),
            ckpt.random_state(self.device),
            self.ranker.dense_state(first),
            self.optimizer.state(first),
            quality,
        )
        self.saver.save(snapshot)
        ray.train.report({"step": position.step, "epoch": position.epoch})
        self.optimizer.phases.begin("waiting")

    def _await_saved(
        self, position: ckpt.Position, progress: Progress, *, last: bool = False
    ) -> None:
        """Until the checkpoint before is written. One that could not be is said; the run goes on
        without it, unless it is the last."""
        outcome = self.saver.wait()
        self.tables.forget_snapshot()
        if outcome is None or outcome.fault is None:
            return
        what = f"the checkpoint of step {outcome.step} could not be written: {outcome.fault}"
        if last:
            raise TrainingError(f"{what}. The run goes on from the one before when it is run again")
        progress.note(position, f"{what}. The one before is kept; going on")

    def _quality(self, metrics: Metrics) -> float | None:
        """What epochs are compared by: the mean over tasks of what rankers are compared by."""
        told = [
            of[QUALITY[self.schema.tasks[task].kind].compared_by] for task, of in metrics.items()
        ]
        quality = sum(told) / len(told) if told else nan
        return quality if isfinite(quality) else None


def run_worker(told: dict[str, Any]) -> None:
    """The function Ray Train calls on every worker; `told` is made by `train.run`."""
    torch.set_num_threads(told["threads"])
    schema = RankerSchema.model_validate(told["schema"])
    config = RankerConfig.model_validate(told["ranker"])
    folder, rows = place(told["folder"]), place(told["rows"])
    device = ray.train.torch.get_device()
    start = None if told["start"] is None else place(told["start"])
    try:
        Worker(schema, config, read_stats(rows), folder, rows, device, start).train()
    except Exception as error:
        info = told_to_go()
        if info is None or not lost_by(error):
            raise
        raise PreemptedError(f"{in_words(info)}, {TOO_SOON}") from error
