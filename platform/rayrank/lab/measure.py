"""What the scores of a cell are worth."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import ray

from rayrank.data.ids import to_ids
from rayrank.evaluate.slices import LONGER_THAN, NAMES
from rayrank.metrics import QUALITY, measure
from rayrank.metrics.log_loss import log_loss, normalised_entropy
from rayrank.metrics.uncertainty import over_draws
from rayrank.schema import Schema
from rayrank.storage import AnyPath, read_parquet

EVERYONE = "all"
"""The slice that holds all."""
RANKED = ("auc", "gauc", "mae", "rank_correlation")
"""Metrics that are measured on draws of users too."""

Key = tuple[str, str, str]
"""Task, slice, metric."""


class Measured(NamedTuple):
    """A ranker's metrics on test exposures whose labels are known."""

    points: dict[Key, float]
    draws: dict[Key, np.ndarray]
    """Of all exposures, of `RANKED`: float64 [1 + samples], the point and every draw of users."""


def measured(scored: pa.Table, schema: Schema, samples: int) -> Measured:
    """Of a table of scores (`predict`'s)."""
    points: dict[Key, float] = {}
    draws: dict[Key, np.ndarray] = {}
    user = to_ids(scored["user"].combine_chunks(), "user").to_numpy()
    part = np.searchsorted(LONGER_THAN, scored["history"].to_numpy())
    for task, of in schema.tasks.items():
        label = scored[f"label.{task}"].to_numpy()
        score = scored[f"p.{task}"].to_numpy()
        known = ~np.isnan(label)
        of_known = (user[known], label[known], score[known])
        (ranked,) = over_draws(*of_known[:2], [of_known[2]], of.kind, samples, 0)
        for metric, values in ranked.items():
            draws[task, EVERYONE, metric] = values
            points[task, EVERYONE, metric] = float(values[0])
        if of.kind == "binary":
            points[task, EVERYONE, "log_loss"] = log_loss(*of_known[1:])
            points[task, EVERYONE, "normalised_entropy"] = normalised_entropy(*of_known[1:])
            # Predicted by observed positives: 1 is right, 1.1 is a tenth too many.
            points[task, EVERYONE, "calibration"] = float(of_known[2].sum() / of_known[1].sum())
        for number, name in enumerate(NAMES):
            inside = known & (part == number)
            if inside.any():
                found = measure(of.kind, user[inside], label[inside], score[inside])
                points |= {(task, name, metric): value for metric, value in found.items()}
    return Measured(points, draws)


# Nowhere in particular, as `cell.make_one`.
@ray.remote(num_cpus=1, max_retries=0, scheduling_strategy="DEFAULT")
def measure_file(scores: AnyPath, schema: Schema, samples: int) -> Measured:
    """Of the file of a cell's scores."""
    return measured(read_parquet(scores), schema, samples)


def worth(points: dict[Key, float], schema: Schema) -> float:
    """One number to choose settings by: over tasks the mean of AUC and GAUC, of a number its rank
    correlation."""
    of_tasks = []
    for task, of in schema.tasks.items():
        quality = QUALITY[of.kind]
        metrics = quality.names if of.kind == "binary" else [quality.compared_by]
        of_tasks.append(np.mean([points[task, EVERYONE, metric] for metric in metrics]))
    return float(np.mean(of_tasks))
