"""A ranker's metrics on later data, while training goes on."""

import numpy as np
import pyarrow as pa
import torch
import torch.distributed as dist
from torchrec.distributed.model_parallel import DistributedModelParallel

from rayrank.data.ids import to_ids
from rayrank.data.jagged import to_jagged
from rayrank.data.packing import pack, row_costs
from rayrank.data.row_files import row_files
from rayrank.metrics import measure
from rayrank.schema import CANDIDATES, Schema
from rayrank.storage import AnyPath, read_parquet
from rayrank.train.config import TrainConfig

Metrics = dict[str, dict[str, float]]


@torch.no_grad()
def validate(
    sharded: DistributedModelParallel, folder: AnyPath, schema: Schema, config: TrainConfig
) -> Metrics:
    """Task -> its metrics over the known labels of the user rows in `folder`, the same on every
    rank; {} if there are none. Collective: ranks take turns over the batches, and empty ones fill
    the last turn."""
    files = row_files(folder)
    if not files:
        return {}
    rows = pa.concat_tables([read_parquet(file) for file in files])
    batches = pack(row_costs(rows, 0.0), config.max_cost)
    rank, world_size = dist.get_rank(), dist.get_world_size()
    sharded.eval()
    scored: list[np.ndarray] = []
    for first in range(0, len(batches), world_size):
        mine = batches[first + rank] if first + rank < len(batches) else np.empty(0, np.int64)
        part = rows.take(pa.array(mine, pa.int64()))
        batch = to_jagged(part, schema).to(next(sharded.parameters()).device)
        predictions = sharded.module.predictions(sharded(batch)).cpu().double().numpy()
        user = to_ids(part["user"].combine_chunks(), "user").to_numpy()
        columns = [np.repeat(user, batch.lengths(CANDIDATES).cpu().numpy()).view(np.float64)]
        columns += [batch.labels(task).cpu().double().numpy() for task in schema.tasks]
        scored.append(np.column_stack([*columns, predictions]))
    gathered: list[np.ndarray] = [np.empty(0)] * world_size
    dist.all_gather_object(gathered, np.concatenate(scored))
    table = np.concatenate(gathered)
    users, tasks = np.ascontiguousarray(table[:, 0]).view(np.int64), len(schema.tasks)
    metrics = {}
    for k, (task, of) in enumerate(schema.tasks.items()):
        label, score = table[:, 1 + k], table[:, 1 + tasks + k]
        known = ~np.isnan(label)
        metrics[task] = measure(of.kind, users[known], label[known], score[known])
    return metrics
