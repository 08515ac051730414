"""Ranks that train in turns, one way after the other, and what each way took: real processes over
Gloo with a thread each, on the same rows."""

import itertools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torch.distributed as dist
from rayrank.data.jagged import JaggedBatch
from rayrank.data.planned import PlannedBatches
from rayrank.data.row_stats import RowStats, Spread
from rayrank.embedding.tables import LocalTables
from rayrank.model.build import build_model
from rayrank.train.config import RankerConfig
from rayrank.train.feed import feed
from rayrank.train.worker import Worker
from torch.multiprocessing.spawn import spawn

from bench.engine_rows import ITEMS, SCHEMA, SHOPS
from bench.train_padded import by_length

CPU = torch.device("cpu")
WARM = 2
"""Steps of each way before those that count."""
STATS = RowStats(
    numbers={
        "profile.age": Spread(1000, 0, 1000, -4, 4),
        "candidate.rate": Spread(1000, 500, 333, 0, 1),
    }
)


class Took(NamedTuple):
    """What a way did, over all ranks."""

    tokens: int
    seconds: float
    cpu_seconds: float
    """Of all ranks together."""
    waited_s: float
    """Without a batch, on rank 0."""

    def per_s(self) -> float:
        return self.tokens / self.seconds

    def cpu_per_token(self) -> float:
        return self.cpu_seconds / self.tokens

    def and_of(self, other: "Took") -> "Took":
        """One after the other."""
        return Took(
            self.tokens + other.tokens,
            self.seconds + other.seconds,
            self.cpu_seconds + other.cpu_seconds,
            self.waited_s + other.waited_s,
        )


class Job(NamedTuple):
    """What ranks are told."""

    folder: Path
    """With the rows (`rows`) and their plan (`plan`)."""
    ranker: dict[str, Any]
    ways: tuple[str, ...]
    """Of `planned`, `fixed` (as many users in each batch), `padded` (`train_padded`) and `plain`: a
    loop of each rank's own, on the batches of `planned`."""
    users: int
    """In a batch of `fixed`."""
    steps: int
    """That count, of each way."""
    rounds: int
    """In which the ways take turns."""


def ranks(world_size: int, job: Job) -> dict[str, Took]:
    """By way."""
    spawn(_rank, (world_size, job), nprocs=world_size)
    found: dict[str, Took] = {}
    of_ranks = [json.loads(_told(job, world_size, rank).read_text()) for rank in range(world_size)]
    for way in job.ways:
        took = [Took(*of[way]) for of in of_ranks]
        found[way] = Took(
            sum(each.tokens for each in took),
            took[0].seconds,
            sum(each.cpu_seconds for each in took),
            took[0].waited_s,
        )
    return found


def _told(job: Job, world_size: int, rank: int) -> Path:
    return job.folder / f"took-{rank}-of-{world_size}.json"


def _rank(rank: int, world_size: int, job: Job) -> None:
    torch.set_num_threads(1)
    meet = f"file://{job.folder}/meet-{world_size}"
    dist.init_process_group("gloo", init_method=meet, rank=rank, world_size=world_size)
    config = RankerConfig.model_validate(job.ranker)
    run = job.folder / f"run-{world_size}"
    worker = _worker(config, job, run)
    took = {way: Took(0, 0.0, 0.0, 0.0) for way in job.ways}
    with ExitStack() as stack:
        ways = {
            way: (
                _step_of(way, worker, config, job, run),
                stack.enter_context(feed(_rows(way, job, rank, world_size), SCHEMA, CPU)),
            )
            for way in job.ways
        }
        for step, batches in ways.values():
            for fed in islice(batches, WARM):
                step(fed.batches)
        for _ in range(job.rounds):
            for way, (step, batches) in ways.items():
                dist.barrier()
                begun, cpu, tokens, waited_s = time.perf_counter(), time.process_time(), 0, 0.0
                for fed in islice(batches, job.steps // job.rounds):
                    step(fed.batches)
                    tokens += sum(batch.tokens for batch in fed.batches)
                    waited_s += fed.waited_s
                dist.barrier()
                seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
                took[way] = took[way].and_of(Took(tokens, seconds, cpu, waited_s))
    _told(job, world_size, rank).write_text(json.dumps(took))
    dist.destroy_process_group()


def _worker(config: RankerConfig, job: Job, run: Path) -> Worker:
    worker = Worker(SCHEMA, config, STATS, run, job.folder / "rows", CPU)
    worker.sharded.train()
    return worker


def _rows(way: str, job: Job, rank: int, world_size: int) -> Iterator[list[pa.Table]]:
    """Again and again."""
    for epoch in itertools.count():
        if way == "fixed":
            rows = pq.read_table(job.folder / "rows")
            order = np.random.default_rng(epoch).permutation(len(rows))
            most = len(rows) // (job.users * world_size) * job.users * world_size
            for first in range(rank * job.users, most, world_size * job.users):
                yield [rows.take(pa.array(order[first : first + job.users]))]
        elif way == "padded":
            rows = pq.read_table(job.folder / "rows")
            tokens, budget = rows["tokens"].to_numpy(), int(job.ranker["train"]["max_cost"])
            alike = list(by_length(tokens, budget, epoch))
            for first in range(0, len(alike) - world_size + 1, world_size):
                yield [rows.take(pa.array(alike[first + rank]))]
        else:
            planned = PlannedBatches(job.folder / "rows", job.folder / "plan", epoch=0)
            yield from planned.deal(rank, world_size, 0)


def _step_of(
    way: str, worker: Worker, config: RankerConfig, job: Job, run: Path
) -> Callable[[list[JaggedBatch]], object]:
    if way == "plain":
        return _plain(config)
    if way == "padded":
        model = config.model.model_copy(update={"kind": "bench.train_padded:PaddedMTGR"})
        worker = _worker(config.model_copy(update={"model": model}), job, run)
    return _sharded(worker)


def _sharded(worker: Worker) -> Callable[[list[JaggedBatch]], object]:
    steps = itertools.count()
    return lambda batches: worker.optimizer.step(batches, next(steps), 0.5)


def _plain(config: RankerConfig) -> Callable[[list[JaggedBatch]], object]:
    """The same model with its tables in this process, as a script would train it."""
    tables = LocalTables(SCHEMA.tables, init_std=config.model.embedding_std, seed=0)
    ranker = build_model(SCHEMA, config.model, tables, STATS.scales())
    tables({"item": torch.arange(ITEMS), "shop": torch.arange(SHOPS)})  # each id its row
    dense = list(ranker.dense_parameters().values())
    optimizers = (torch.optim.AdamW(dense), torch.optim.Adagrad(tables.learned.values()))

    def step(batches: list[JaggedBatch]) -> float:
        (batch,) = batches
        loss = ranker.loss(ranker(batch), batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(dense, config.train.clip_norm)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        return float(loss.detach())

    return step
