"""The same rankers from several seeds: how much of a difference is luck."""

from typing import NamedTuple

import numpy as np
from rich.table import Table

from rayrank.evaluate.results import Evaluation
from rayrank.metrics import BinaryQuality, Estimate, NumberQuality
from rayrank.run.config import RunConfig


class Spread(NamedTuple):
    """A metric over seeds, and its error over users."""

    mean: float
    deviation: float
    """Standard deviation over the seeds; 0 where nothing was drawn."""
    standard_error: float
    """Bootstrap over users, averaged over the seeds."""


Spreads = dict[str, dict[str, dict[str, Spread]]]
"""Ranker -> task -> metric -> spread."""

METRICS = BinaryQuality.names | NumberQuality.names


def with_seeds(config: RunConfig, seeds: int) -> RunConfig:
    """Every ranker `seeds` times, named `NAME-SEED`, from its own seed up."""
    rankers = {}
    for name, ranker in config.rankers.items():
        for seed in range(ranker.train.seed, ranker.train.seed + seeds):
            train = ranker.train.model_copy(update={"seed": seed})
            rankers[f"{name}-{seed}"] = ranker.model_copy(update={"train": train})
    return config.model_copy(update={"rankers": rankers})


def over_seeds(config: RunConfig, seeds: int, evaluation: Evaluation) -> Spreads:
    """The spreads of the rankers of `config` in an evaluation of `with_seeds(config, seeds)`, then
    of the baselines, which draw nothing."""
    groups = {
        name: [f"{name}-{s}" for s in range(ranker.train.seed, ranker.train.seed + seeds)]
        for name, ranker in config.rankers.items()
    } | {name: [name] for name in evaluation.baselines}
    tasks = evaluation.rankers[evaluation.served]
    return {
        name: {
            task: {
                metric: _spread([evaluation.everyone[m][task][metric] for m in members])
                for metric in quality.names
            }
            for task, quality in tasks.items()
        }
        for name, members in groups.items()
    }


def _spread(estimates: list[Estimate]) -> Spread:
    values = [estimate.value for estimate in estimates]
    return Spread(
        float(np.mean(values)),
        float(np.std(values, ddof=1)) if len(values) > 1 else 0.0,
        float(np.mean([estimate.standard_error for estimate in estimates])),
    )


def seeds_table(title: str, spreads: Spreads) -> Table:
    """A line per ranker; the title goes on to say what the numbers are."""
    what = "mean ± deviation over seeds (bootstrap error over users)"
    table = Table(title=f"{title}: {what}", title_justify="left")
    table.add_column("ranker")
    for task, metrics in next(iter(spreads.values())).items():
        for metric in metrics:
            table.add_column(f"{task} {METRICS[metric]}", justify="right")
    for name, tasks in spreads.items():
        cells = [spread for metrics in tasks.values() for spread in metrics.values()]
        table.add_row(
            name, *(f"{s.mean:.4f} ± {s.deviation:.4f} ({s.standard_error:.4f})" for s in cells)
        )
    return table
