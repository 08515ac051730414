"""What a step of sharded tables costs below its budget and at it, and what an id takes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import mean
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from rayrank.embedding.budget import TablesConfig
from rayrank.embedding.place import shard
from rayrank.embedding.sharded import ShardedTables
from rayrank.schema import Table
from torch import nn
from torch._C._distributed_c10d import HashStore

from bench.tables_map import BATCH, everyone, zipf

DIM, CPU = 32, torch.device("cpu")


class Model(nn.Module):
    """Nothing but its embeddings."""

    def __init__(self, tables: nn.Module) -> None:
        super().__init__()
        self.tables = tables

    def forward(self, asked: Any) -> Any:
        return self.tables(asked)


class Steps:
    """Steps of one table on one rank, which begins with all ids there."""

    def __init__(self, capacity: int, ids: int, device: torch.device = CPU) -> None:
        self.tables = ShardedTables(
            {"item": Table(dim=DIM, capacity=capacity)},
            init_std=0.02,
            seed=0,
            world_size=1,
            config=TablesConfig(evict="least_recent"),
            new_ids=2 * BATCH,
        )
        model = Model(self.tables)
        self.model = shard(model, self.tables, learning_rate=0.02, device=device)
        self.model.train()
        self.evicted = 0
        for keys in everyone(ids).split(BATCH):
            self.take(keys.to(device))

    def take(self, keys: torch.Tensor) -> float:
        """Seconds of one: look up, learn, let go."""
        begun = time.perf_counter()
        vectors = self.model({"item": keys})["item"]
        vectors.sum().backward()
        self.tables.gather_gradients()
        counts = self.tables.counts()
        dist.all_reduce(counts)
        told = self.tables.heard(counts.cpu())
        self.tables.update(1.0)
        self.tables.end_step(told)
        self.evicted += told.tables["item"].evicted
        return time.perf_counter() - begun


@contextmanager
def one_rank(backend: str) -> Iterator[None]:
    """A process group of this process alone."""
    dist.init_process_group(backend, store=HashStore(), rank=0, world_size=1)
    try:
        yield
    finally:
        dist.destroy_process_group()


def evict_over_insert(ids: int, steps: int) -> dict[str, float]:
    """A step of a table that is full, on average over steps that let ids go and those that do not,
    over the same step of one with room for all: a third of what comes is new. In turns."""
    with one_rank("gloo"):
        full, roomy = Steps(ids, ids), Steps(2 * ids + steps * BATCH, ids)
        before, seconds = full.evicted, {"full": list[float](), "roomy": list[float]()}
        new = np.random.default_rng(2).random(BATCH) < 1 / 3
        for step, known in enumerate(zipf(ids, steps, seed=3)):
            keys = known.clone()
            keys[new] = torch.arange(int(new.sum())) + (1 << 40) + step * BATCH
            seconds["full"].append(full.take(keys))
            seconds["roomy"].append(roomy.take(keys))
        (width,), pool = full.tables.widths, full.tables._shards[0].pool
        payload = 8 + 4 * DIM + 4
        of_row = pool.bytes() / int(pool.count) + 4 * DIM + 4
        return {
            "evict_over_insert": mean(seconds["full"]) / mean(seconds["roomy"]),
            "slowest_over_insert": max(seconds["full"]) / mean(seconds["roomy"]),
            "evicted_per_step": (full.evicted - before) / steps,
            "bytes_per_id": of_row,
            "bytes_per_id_over_payload": of_row / payload,
            "rows_kept_free_share": width.rows / ids - 1,
        }
