"""What a report is made from. All of it is measured elsewhere; the page only shows it."""

from datetime import datetime
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field, FiniteFloat, NonNegativeFloat, NonNegativeInt, model_validator

from rayrank.metrics import CalibrationBin, Quality, Slice
from rayrank.strict import Strict

ORACLE = "oracle"
"""The ranker that knows the truth; only simulated logs have one."""


def bins_by_factors(
    values: np.ndarray, weights: np.ndarray | None = None, bins: int = 32
) -> tuple[list[float], list[int]]:
    """Edges spaced by a factor around positive values, and how many (or what weight) between them.

    Between whole numbers the edges are halves, so that no bin is too narrow to hold one.
    """
    low, high = float(values.min()), float(values.max())
    if np.issubdtype(values.dtype, np.integer):
        edges = np.unique(np.floor(np.geomspace(low, high + 1, bins + 1))) - 0.5
    else:
        edges = np.geomspace(low * 0.99, high * 1.01, bins + 1)
    counts = np.histogram(values, edges, weights=weights)[0]
    return edges.tolist(), counts.astype(int).tolist()


class Lengths(Strict):
    """Tokens per user row: summary and histogram."""

    mean: FiniteFloat
    p50: FiniteFloat
    p99: FiniteFloat
    max: FiniteFloat
    edges: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=2)]
    """Ascending; drawn on a log axis. `bins_by_factors` makes them."""
    counts: list[NonNegativeInt]
    """Rows between edges k and k + 1."""

    @model_validator(mode="after")
    def _is_a_histogram(self) -> "Lengths":
        if self.edges != sorted(set(self.edges)) or len(self.edges) != len(self.counts) + 1:
            raise ValueError("edges must ascend and be one more than counts")
        return self


class DataFacts(Strict):
    """What the user-row builder made of the log."""

    exposures: NonNegativeInt
    user_rows: NonNegativeInt
    compression: NonNegativeFloat
    """Exposures per user row."""
    tokens: NonNegativeInt
    lengths: Lengths
    elements: dict[str, NonNegativeInt]
    """Part of a sequence -> behaviours in all rows."""
    complete_until: str
    """Until when the log holds all that happened."""
    labels: dict[str, str]
    """Task -> how many labels are positive, and how many are not known."""


class LossPoint(NamedTuple):
    """A training step."""

    step: int
    tokens: int
    """Trained on up to and including this step."""
    loss: FiniteFloat


class EpochPoint(NamedTuple):
    """Of each task the metric that rankers are compared by, on later data, after a step."""

    step: int
    metrics: dict[str, float]


class Serving(Strict):
    """The bundle behind HTTP."""

    requests: NonNegativeInt
    p50_ms: NonNegativeFloat
    p99_ms: NonNegativeFloat
    latencies_ms: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)]
    max_abs_diff: NonNegativeFloat
    """The largest difference between a served score and the trainer's of the same candidate."""


class ReportData(Strict):
    """A whole run. The first ranker in `quality` is the one that is served."""

    title: str
    when: datetime
    machine: str
    command: str
    """What was typed to make this run."""
    config: str
    """The whole run configuration, overrides applied, as YAML."""
    seeds: dict[str, int]
    """What was drawn -> from which seed."""
    versions: dict[str, str]
    facts: DataFacts
    steps: Annotated[list[LossPoint], Field(min_length=1)]
    epochs: list[EpochPoint]
    quality: Annotated[dict[str, dict[str, Quality]], Field(min_length=1)]
    """Ranker -> task -> quality; every ranker has the same tasks."""
    differences: dict[str, dict[str, Quality]]
    """Ranker -> task -> its metrics minus the served ranker's, paired; empty where that one is
    alone."""
    slices: dict[str, dict[str, list[Slice]]]
    """Ranker -> task -> parts of the test exposures, the same for every ranker. Of the served
    ranker first, of others beside it; empty where nothing was sliced."""
    calibration: dict[str, list[CalibrationBin]]
    """Of the served ranker, by binary task."""
    serving: Serving
    stages: dict[str, NonNegativeFloat]
    """Seconds of each stage, in the order they ran."""

    @model_validator(mode="after")
    def _rankers_share_their_tasks(self) -> "ReportData":
        for field in ("quality", "differences", "slices"):
            for name, by_task in getattr(self, field).items():
                if name not in self.quality:
                    raise ValueError(f"{field}.{name}: not a ranker in quality")
                if set(by_task) != set(self.tasks):
                    raise ValueError(f"{field}.{name}: expected the tasks {', '.join(self.tasks)}")
        if self.served == ORACLE:
            raise ValueError("quality: the served ranker comes first, the oracle is none")
        if self.served in self.differences:
            raise ValueError(f"differences.{self.served}: the served ranker has none to itself")
        return self

    @model_validator(mode="after")
    def _rankers_share_their_slices(self) -> "ReportData":
        if self.slices and next(iter(self.slices)) != self.served:
            raise ValueError(f"slices: expected those of {self.served}, which is served, first")
        for name, by_task in self.slices.items():
            for task, slices in by_task.items():
                names = [part.name for part in self.slices[self.served][task]]
                if [part.name for part in slices] != names:
                    raise ValueError(f"slices.{name}.{task}: expected {', '.join(names)}")
        return self

    @property
    def served(self) -> str:
        """The ranker whose bundle is behind HTTP."""
        return next(iter(self.quality))

    @property
    def tasks(self) -> list[str]:
        """In the order of the schema."""
        return list(self.quality[self.served])

    def compared_by(self, task: str) -> str:
        """The name of the metric that rankers are compared by on a task."""
        quality = self.quality[self.served][task]
        return quality.names[quality.compared_by]

    def margin_share(self, ranker: str, task: str) -> float | None:
        """The ranker's GAUC above chance as a share of the oracle's; None without an oracle."""
        if ORACLE not in self.quality:
            return None
        own, best = (self.quality[name][task] for name in (ranker, ORACLE))
        return (own.compared.value - own.chance) / (best.compared.value - best.chance)
