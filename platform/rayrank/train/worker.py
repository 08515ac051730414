"""What every training worker runs."""

import json
import os
import socket
from collections.abc import Callable
from typing import Any, TypeVar, cast

import ray.train
import torch
import torch.distributed as dist

from rayrank.data.planned import PlannedBatches, batches_of_epochs
from rayrank.data.row_stats import RowStats, read_stats
from rayrank.embedding.sharded import ShardedTables, shard
from rayrank.model.build import build_model
from rayrank.schema import Schema
from rayrank.storage import AnyPath, place, write_whole
from rayrank.train import checkpoint as ckpt
from rayrank.train.attempt import begin_attempt, ensure_newest
from rayrank.train.config import RankerConfig
from rayrank.train.feed import Fed, feed
from rayrank.train.finished import ATTEMPTS, BATCHES, CHECKPOINTS, JOURNAL, write_finished
from rayrank.train.finite import NotFiniteError, demand_finite, stopped_at
from rayrank.train.optimize import Optimizer
from rayrank.train.progress import Progress
from rayrank.train.validate import validate
from rayrank.train.warm import begin_from
from rayrank.train.watchdog import Watchdog

T = TypeVar("T")
WORKERS = "workers"
"""Who trains: a small file per rank, for a person who has to look at a process."""


def dropout_seed(seed: int, rank: int) -> int:
    """Of its own on every rank, and never that of another seed's rank (up to 65,535 ranks)."""
    return (seed << 16) + 1 + rank


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
        self.schema, self.config, self.start = schema, config.train, start
        self.folder, self.rows = folder, rows
        self.device = device
        self.rank, self.world_size = dist.get_rank(), dist.get_world_size()
        seed = config.train.seed
        torch.manual_seed(seed)  # dense weights alike on every rank
        self.tables = ShardedTables(
            schema.tables,
            init_std=config.model.embedding_std,
            seed=seed,
            world_size=self.world_size,
        )
        self.ranker = build_model(schema, config.model, self.tables, stats.scales())
        self.ranker.recompute = config.train.recompute
        self.sharded = shard(
            self.ranker, self.tables, device=device, learning_rate=config.train.table_learning_rate
        )
        torch.manual_seed(dropout_seed(seed, self.rank))
        self.optimizer = Optimizer(self.sharded, config.train)

        self.attempt: int = self._from_rank_0(lambda: begin_attempt(folder / ATTEMPTS))
        facts = {"pid": os.getpid(), "host": socket.gethostname(), "attempt": self.attempt}
        write_whole(folder / WORKERS / f"rank-{self.rank}.json", json.dumps(facts))

    def train(self) -> None:
        """From the newest checkpoint, or the beginning, to the end."""
        position, notes = self._resume()
        of_epochs = batches_of_epochs(self.folder / BATCHES)
        total = sum(of_epochs)
        with (
            Progress(self.folder / JOURNAL, self.rank, position, total) as progress,
            Watchdog(self.folder, self.rank, self.attempt, self.config.hangs_after_s) as watchdog,
        ):
            for note in notes:
                progress.note(position, note)
            while position.epoch < self.config.epochs:
                batches = PlannedBatches(self.rows / "train", self.folder / BATCHES, position.epoch)
                before = sum(of_epochs[: position.epoch])
                self.sharded.train()
                dealt = batches.deal(self.rank, self.world_size, position.batches)
                with feed(dealt, self.schema, self.device) as batches_fed:
                    for fed in batches_fed:
                        position = self._step(fed, position, batches, before, total, progress)
                        watchdog.alive()
                        if self._due(position) and position.batches < len(batches):
                            self._save(position, progress)
                            watchdog.alive()
                metrics = validate(self.sharded, self.rows / "valid", self.schema, self.config)
                progress.epoch(position, metrics)
                watchdog.alive()
                position = self._at(position.epoch + 1, 0, position.step)
                if self._due(position) or position.epoch == self.config.epochs:
                    self._save(position, progress)
        if self.rank == 0:
            # Not only after the last step: a run may have been cut between its checkpoint and this.
            write_finished(self.folder, ckpt.complete(self.folder / CHECKPOINTS)[-1])

    def _step(
        self,
        fed: Fed,
        position: ckpt.Position,
        batches: PlannedBatches,
        before: int,
        total: int,
        progress: Progress,
    ) -> ckpt.Position:
        """Take one; where the run is after it. before: batches of earlier epochs, of `total`."""
        share = (before + position.batches) / total
        try:
            facts = self.optimizer.step(fed.batch, position.step, share)
        except NotFiniteError as error:
            raise stopped_at(position.step, fed.rows, error.mine, self.folder) from None
        done = min(position.batches + self.world_size, len(batches))
        position = self._at(position.epoch, done, position.step + 1)
        progress.step(position, before + done, facts, fed.waited_s)
        return position

    def _due(self, position: ckpt.Position) -> bool:
        return position.step % self.config.checkpoint_every == 0

    def _at(self, epoch: int, batches: int, step: int) -> ckpt.Position:
        return ckpt.Position(epoch, batches, step, self.world_size, self.attempt)

    def _resume(self) -> tuple[ckpt.Position, list[str]]:
        # One rank reads and checks every file, and all take what it found.
        newest, notes = self._from_rank_0(lambda: ckpt.newest_sound(self.folder / CHECKPOINTS))
        if newest is None:
            if self.start is not None:
                load, ranks = self.optimizer.load_state, (self.rank, self.world_size)
                notes += begin_from(self.start, self.ranker, self.tables, load, *ranks)
            return self._at(0, 0, 0), notes
        notes.append(f"attempt {self.attempt} goes on from {newest.name}")
        position = ckpt.read_position(newest)
        self.tables.load_rows(ckpt.read_rows(newest), self.rank, self.world_size)
        dense, optimizer = ckpt.read_dense(newest)
        self.ranker.load_dense(dense)
        self.optimizer.load_state(optimizer)
        if position.world_size == self.world_size:
            ckpt.set_random_state(ckpt.read_random(newest, self.rank), self.device)
        return self._at(position.epoch, position.batches, position.step), notes

    def _save(self, position: ckpt.Position, progress: Progress) -> None:
        progress.flush()  # who resumes from the checkpoint finds what led to it
        mine = self.tables.local_rows()
        demand_finite(position.step, self.optimizer.dense, mine, self.device)
        checkpoint = ckpt.checkpoint_folder(self.folder / CHECKPOINTS, position)
        own = ckpt.write_rank(checkpoint, self.rank, mine, ckpt.random_state(self.device))
        written: list[ckpt.Hashes] = [{}] * self.world_size
        dist.all_gather_object(written, own)  # all ranks' files are there
        if self.rank == 0:
            ensure_newest(self.folder / ATTEMPTS, self.attempt)
            ckpt.publish(
                checkpoint,
                position,
                self.ranker.dense_state(),
                self.optimizer.state(),
                {name: digest for files in written for name, digest in files.items()},
                self.config.keep_checkpoints,
            )
        dist.barrier()  # nobody goes on before it is published
        ray.train.report({"step": position.step, "epoch": position.epoch})

    def _from_rank_0(self, ask: Callable[[], T]) -> T:
        """What rank 0 finds, on every rank."""
        found = [ask() if self.rank == 0 else None]
        dist.broadcast_object_list(found)
        return cast(T, found[0])


def run_worker(told: dict[str, Any]) -> None:
    """The function Ray Train calls on every worker; `told` is made by `train.run`."""
    torch.set_num_threads(told["threads"])
    schema = Schema.model_validate(told["schema"])
    config = RankerConfig.model_validate(told["ranker"])
    folder, rows = place(told["folder"]), place(told["rows"])
    device = ray.train.torch.get_device()
    start = None if told["start"] is None else place(told["start"])
    Worker(schema, config, read_stats(rows), folder, rows, device, start).train()
