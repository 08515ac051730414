"""A trained ranker's scores of user rows, on Ray Data."""

import numpy as np
import pyarrow as pa
import ray
import torch

from rayrank.data.jagged import to_jagged
from rayrank.data.packing import pack, row_costs
from rayrank.data.row_files import row_files
from rayrank.errors import DataError
from rayrank.evaluate.config import EvaluateConfig
from rayrank.schema import CANDIDATES, Schema
from rayrank.storage import AnyPath, absolute, arrow_place
from rayrank.train.config import RankerConfig
from rayrank.train.export import local_ranker
from rayrank.watch import Watch


def predict(
    config: RankerConfig,
    schema: Schema,
    checkpoint: AnyPath,
    rows: AnyPath,
    settings: EvaluateConfig,
    watch: Watch,
) -> pa.Table:
    """A line per candidate, as `candidate_table`, with `p.TASK`, in the order of `in_order`.

    rows is a folder of user-row files. Raises DataError where it has none.
    """
    files = [arrow_place(path)[1] for path in row_files(rows)]
    if not files:
        raise DataError(f"{rows}: no user rows; run jobs/build_rows.py first")
    # As many readers as scorers: there are many small files, and each reader is a process.
    filesystem, readers = arrow_place(rows)[0], settings.workers
    dataset = ray.data.read_parquet(files, filesystem=filesystem, concurrency=readers)
    total, workers = dataset.count(), settings.workers
    scored = dataset.repartition(min(4 * workers, total)).map_batches(
        _Scorer,
        fn_constructor_args=(config, schema, absolute(checkpoint), settings.max_tokens),
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=0.5,  # leaves room for the readers on a machine with two cores
        compute=ray.data.ActorPoolStrategy(size=workers),
    )
    scored.set_name(f"scores of {checkpoint.parent.parent.parent.name}")
    parts, done = [], 0
    for part in scored.iter_batches(batch_size=None, batch_format="pyarrow"):
        parts.append(part)
        done += len(part.group_by(["user", "window_start"]).aggregate([]))
        watch(done, total)
    return in_order(pa.concat_tables(parts))


def in_order(candidates: pa.Table) -> pa.Table:
    """By user, then time, then item, whoever scored them (twins by label, so that theirs meet)."""
    labels = [name for name in candidates.column_names if name.startswith("label.")]
    return candidates.sort_by([(key, "ascending") for key in ("user", "time", "item", *labels)])


class _Scorer:
    """What each of Ray Data's actors does."""

    def __init__(
        self, config: RankerConfig, schema: Schema, checkpoint: AnyPath, max_tokens: int
    ) -> None:
        torch.set_num_threads(1)
        self.schema, self.max_tokens = schema, max_tokens
        self.ranker = local_ranker(config, schema, checkpoint)

    @torch.inference_mode()
    def __call__(self, rows: pa.Table) -> pa.Table:
        scored = []
        for picked in pack(row_costs(rows, 0.0), self.max_tokens):
            users = rows.slice(picked[0], len(picked))
            logits_CK = self.ranker(to_jagged(users, self.schema))
            p_CK = self.ranker.predictions(logits_CK).numpy()
            scored.append(candidate_table(users, self.schema, p_CK))
        return pa.concat_tables(scored)


def candidate_table(rows: pa.Table, schema: Schema, p_CK: np.ndarray | None) -> pa.Table:
    """The candidates of user rows: user, window_start, time, item, history (how many behaviours
    of all sequences were known before the window), `label.TASK`, and (where given) the scores
    `p.TASK`."""
    candidates = rows[CANDIDATES.name].combine_chunks()
    times = candidates.field("time")
    history = np.zeros(len(rows), np.int64)
    for group in schema.static:
        history += np.diff(rows[group.name].combine_chunks().field("time").offsets.to_numpy())
    owner = pa.array(np.repeat(np.arange(len(rows)), np.diff(times.offsets.to_numpy())))
    columns = {
        "user": rows["user"].combine_chunks().take(owner),
        "window_start": rows["window_start"].combine_chunks().take(owner),
        "time": times.flatten(),
        "item": candidates.field("item").flatten(),
        "history": pa.array(history).take(owner),
    }
    labels = rows["labels"].combine_chunks()
    for k, task in enumerate(schema.tasks):
        columns[f"label.{task}"] = labels.field(task).flatten()
        if p_CK is not None:
            columns[f"p.{task}"] = pa.array(p_CK[:, k])
    return pa.table(columns)
