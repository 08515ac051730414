"""A trained ranker's scores of user rows, on Ray Data."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import ray
import torch

from rayrank.config import RunConfig
from rayrank.data.jagged import to_jagged
from rayrank.data.packing import pack, row_costs
from rayrank.schema import Schema
from rayrank.train.export import local_ranker
from rayrank.watch import Watch


def predict(
    config: RunConfig, name: str, schema: Schema, checkpoint: Path, rows: Path, watch: Watch
) -> pa.Table:
    """One line per candidate: user, window_start, time, item, `label.TASK`, `p.TASK`.

    rows is a folder of user-row files; the result is in order of user id, then time.
    """
    files = sorted(str(path) for path in rows.glob("*.parquet"))
    dataset = ray.data.read_parquet(files)
    total = dataset.count()
    workers = config.evaluate.workers
    scored = dataset.repartition(min(4 * workers, total)).map_batches(
        _Scorer,
        fn_constructor_args=(config, name, schema, checkpoint),
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=0.5,  # leaves room for the readers on a machine with two cores
        compute=ray.data.ActorPoolStrategy(size=workers),
    )
    parts, done = [], 0
    for part in scored.iter_batches(batch_size=None, batch_format="pyarrow"):
        parts.append(part)
        done += len(part.group_by(["user", "window_start"]).aggregate([]))
        watch(done, total)
    table = pa.concat_tables(parts)
    return table.sort_by([("user", "ascending"), ("time", "ascending"), ("item", "ascending")])


class _Scorer:
    """What each of Ray Data's actors does."""

    def __init__(self, config: RunConfig, name: str, schema: Schema, checkpoint: Path) -> None:
        torch.set_num_threads(1)
        self.schema, self.max_tokens = schema, config.evaluate.max_tokens
        self.ranker = local_ranker(config, name, schema, checkpoint)

    @torch.inference_mode()
    def __call__(self, rows: pa.Table) -> pa.Table:
        scored = []
        for picked in pack(row_costs(rows, 0.0), self.max_tokens):
            users = rows.slice(picked[0], len(picked))
            logits_CK = self.ranker(to_jagged(users, self.schema))
            p_CK = self.ranker.probabilities(logits_CK).numpy()
            scored.append(candidate_table(users, self.schema, p_CK))
        return pa.concat_tables(scored)


def candidate_table(rows: pa.Table, schema: Schema, p_CK: np.ndarray | None) -> pa.Table:
    """The candidates of user rows, one line each, with labels and (where given) scores."""
    candidates = rows["candidates"].combine_chunks()
    times = candidates.field("time")
    owner = pa.array(np.repeat(np.arange(len(rows)), np.diff(times.offsets.to_numpy())))
    columns = {
        "user": rows["user"].combine_chunks().take(owner),
        "window_start": rows["window_start"].combine_chunks().take(owner),
        "time": times.flatten(),
        "item": candidates.field("item").flatten(),
    }
    labels = rows["labels"].combine_chunks()
    for k, task in enumerate(schema.tasks):
        columns[f"label.{task}"] = labels.field(task).flatten()
        if p_CK is not None:
            columns[f"p.{task}"] = pa.array(p_CK[:, k])
    return pa.table(columns)
