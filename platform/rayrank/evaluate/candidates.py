"""The candidates of user rows, a line each, with their labels and scores."""

import numpy as np
import pyarrow as pa

from rayrank.schema import CANDIDATES, Schema


def candidate_table(rows: pa.Table, schema: Schema, p_CK: np.ndarray | None) -> pa.Table:
    """The candidates of user rows: user, window_start, time, item, history (how many behaviours
    of all sequences were known before the window), and what is given of `label.TASK` and of the
    scores `p.TASK`."""
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
    labels = rows["labels"].combine_chunks() if "labels" in rows.column_names else None
    for k, task in enumerate(schema.tasks):
        if labels is not None:
            columns[f"label.{task}"] = labels.field(task).flatten()
        if p_CK is not None:
            columns[f"p.{task}"] = pa.array(p_CK[:, k])
    return pa.table(columns)


def in_order(candidates: pa.Table) -> pa.Table:
    """By user, then time, then item, whoever scored them (twins by label, so that theirs meet)."""
    labels = [name for name in candidates.column_names if name.startswith("label.")]
    return candidates.sort_by([(key, "ascending") for key in ("user", "time", "item", *labels)])
