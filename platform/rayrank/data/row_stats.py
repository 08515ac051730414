"""What a build reports: rows, lengths, compression, and the scale of every number."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import reduce
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rayrank.data.ids import IdTypes
from rayrank.data.partition import Cuts, UserRows
from rayrank.data.scale import Scale
from rayrank.errors import DataError
from rayrank.schema import CANDIDATES, PROFILE, Group, Schema
from rayrank.storage import AnyPath

STATS = "stats.json"

N = TypeVar("N", int, float)

# Number columns are scaled by what training rows hold, never by later ones.
TRAIN = 0


class Spread(NamedTuple):
    """What adds up of a number's values."""

    values: float
    """How many."""
    sum: float
    squares: float
    low: float | None
    """The least; None of none."""
    high: float | None

    @staticmethod
    def of(values: np.ndarray) -> "Spread":
        """values float64 [n]"""
        ends = (float(values.min()), float(values.max())) if len(values) else (None, None)
        return Spread(
            float(len(values)), float(values.sum()), float((values * values).sum()), *ends
        )

    def and_of(self, other: "Spread") -> "Spread":
        """Of both."""
        lows, highs = (
            [end for end in ends if end is not None]
            for ends in ((self.low, other.low), (self.high, other.high))
        )
        return Spread(
            self.values + other.values,
            self.sum + other.sum,
            self.squares + other.squares,
            min(lows, default=None),
            max(highs, default=None),
        )

    def scale(self) -> Scale:
        """Mean, deviation, and from where on values count as the edge."""
        mean = self.sum / max(self.values, 1)
        deviation = max(self.squares / max(self.values, 1) - mean * mean, 0.0) ** 0.5
        # A constant column carries nothing: leave its scale alone rather than divide by 0.
        deviation = deviation if deviation > 1e-6 else 1.0
        if self.low is None or self.high is None:
            return Scale(mean, deviation)
        room = max(self.high - self.low, deviation)
        return Scale(mean, deviation, self.low - room, self.high + room)


@dataclass(frozen=True)
class RowStats:
    """Additive facts about user rows; `merge` adds partitions up."""

    rows: int = 0
    exposures: int = 0
    rows_of_split: list[int] = field(default_factory=lambda: [0, 0, 0])
    exposures_of_split: list[int] = field(default_factory=lambda: [0, 0, 0])
    tokens: int = 0
    length_counts: dict[int, int] = field(default_factory=dict)
    """Row length in tokens -> how many rows have it."""
    numbers: dict[str, Spread] = field(default_factory=dict)
    """TOKEN.FEATURE -> its values in the training rows: of a sequence's both parts, since on the
    first day of a log there is no static one. label.TASK -> log(1 + x) of a task that is a
    number."""
    elements: dict[str, int] = field(default_factory=dict)
    """Column of a sequence's part -> how many behaviours all rows hold in it."""
    positives: dict[str, int] = field(default_factory=dict)
    """Binary task -> labels that are known to be positive."""
    sums: dict[str, float] = field(default_factory=dict)
    """Task that is a number -> its known labels' sum."""
    unknown: dict[str, int] = field(default_factory=dict)
    """Task -> labels that are not known yet, or that the log does not tell."""
    attributed: int = 0
    """Positives that were made from events."""
    split_times_ms: list[int] = field(default_factory=list)
    """When valid and test start; the same in every partition."""
    complete_until_ms: int = 0
    """Until when the log is complete; the same in every partition."""
    id_types: IdTypes = field(default_factory=dict)
    """Feature -> what its ids were in the log, the same in every partition."""

    @staticmethod
    def merge(parts: list["RowStats"]) -> "RowStats":
        return reduce(_add, parts, RowStats())

    def length_summary(self) -> dict[str, float]:
        """Mean, p50, p99 and max of the rows' lengths in tokens, exactly."""
        lengths = np.array(sorted(self.length_counts))
        counts = np.array([self.length_counts[n] for n in lengths])
        cumulative = np.cumsum(counts)

        def quantile(q: float) -> float:
            return float(lengths[np.searchsorted(cumulative, q * cumulative[-1])])

        return {
            "mean": self.tokens / self.rows,
            "p50": quantile(0.5),
            "p99": quantile(0.99),
            "max": float(lengths[-1]),
        }

    def labels_in_words(self) -> dict[str, str]:
        """Task -> how many of its labels are positive, or their mean, and how many are not
        known."""
        found = {}
        for task, unknown in self.unknown.items():
            known = self.exposures - unknown
            if task in self.sums:
                told = f"mean {self.sums[task] / max(known, 1):,.4g} of {known:,}"
            else:
                told = f"{self.positives[task]:,} positive of {known:,}"
            found[task] = told + (f", {unknown:,} not known" if unknown else "")
        return found

    def complete_until(self) -> str:
        """In UTC, to the second."""
        return f"{datetime.fromtimestamp(self.complete_until_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"

    def scales(self) -> dict[str, Scale]:
        """TOKEN.FEATURE -> how it is spread over the training rows."""
        return {name: spread.scale() for name, spread in self.numbers.items()}

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))

    @staticmethod
    def from_json(content: dict[str, Any]) -> "RowStats":
        lengths = {int(n): count for n, count in content["length_counts"].items()}
        numbers = {name: Spread(*facts) for name, facts in content["numbers"].items()}
        return RowStats(**(content | {"length_counts": lengths, "numbers": numbers}))


def read_stats(rows: AnyPath) -> RowStats:
    """The facts that a build left in the folder `rows`; DataError where there was none."""
    path = rows / STATS
    if not path.exists():
        raise DataError(f"{rows}: no user rows; run jobs/build_rows.py first")
    return RowStats.from_json(json.loads(path.read_text()))


def row_stats(built: UserRows, schema: Schema, cuts: Cuts, id_types: IdTypes) -> RowStats:
    """The facts of some rows."""
    rows, split = built.rows, built.split
    shown = np.diff(rows[CANDIDATES.name].combine_chunks().field("time").offsets.to_numpy())
    tokens = rows["tokens"].to_numpy()
    numbers = {}
    train = rows.filter(pa.array(split == TRAIN))
    for token, groups in _groups_of_tokens(schema).items():
        for name, feature in schema.features_of(token).items():
            if feature.kind == "number":
                array = np.concatenate([_numbers(train, group, name) for group in groups])
                numbers[f"{token}.{name}"] = Spread.of(array)
    for task, of in schema.tasks.items():
        if of.kind == "number":
            known = train["labels"].combine_chunks().field(task).flatten().drop_null()
            numbers[f"label.{task}"] = Spread.of(np.log1p(known.to_numpy().astype(np.float64)))
    struct = rows["labels"].combine_chunks()
    labels = {task: struct.field(task).flatten() for task in schema.tasks}
    sums = {task: float(pc.sum(label).as_py() or 0) for task, label in labels.items()}
    length, count = np.unique(tokens, return_counts=True)
    return RowStats(
        rows=len(rows),
        exposures=int(shown.sum()),
        rows_of_split=[int((split == s).sum()) for s in range(3)],
        exposures_of_split=[int(shown[split == s].sum()) for s in range(3)],
        tokens=int(tokens.sum()),
        length_counts=dict(zip(length.tolist(), count.tolist(), strict=True)),
        numbers=numbers,
        elements={
            group.name: len(rows[group.name].combine_chunks().field("time").flatten())
            for group in (*schema.static, *schema.realtime)
        },
        positives={task: int(sums[task]) for task in schema.binary_tasks},
        sums={task: sums[task] for task, of in schema.tasks.items() if of.kind == "number"},
        unknown={task: label.null_count for task, label in labels.items()},
        attributed=int(built.attributed.sum()),
        split_times_ms=cuts.splits,
        complete_until_ms=cuts.complete_until,
        id_types=id_types,
    )


def _groups_of_tokens(schema: Schema) -> dict[str, list[Group]]:
    groups: dict[str, list[Group]] = {}
    for group in schema.groups:
        groups.setdefault(group.token, []).append(group)
    return groups


def _numbers(rows: pa.Table, group: Group, feature: str) -> np.ndarray:
    values = rows[group.name].combine_chunks().field(feature)
    values = values if group == PROFILE else values.flatten()
    numbers: np.ndarray = values.to_numpy(zero_copy_only=False).astype(np.float64)
    return numbers


def _add(a: RowStats, b: RowStats) -> RowStats:
    def add_values(x: dict[Any, N], y: dict[Any, N]) -> dict[Any, N]:
        return {key: x.get(key, 0) + y.get(key, 0) for key in {**x, **y}}

    numbers = dict(a.numbers)
    for name, spread in b.numbers.items():
        numbers[name] = numbers[name].and_of(spread) if name in numbers else spread
    return RowStats(
        rows=a.rows + b.rows,
        exposures=a.exposures + b.exposures,
        rows_of_split=[x + y for x, y in zip(a.rows_of_split, b.rows_of_split, strict=True)],
        exposures_of_split=[
            x + y for x, y in zip(a.exposures_of_split, b.exposures_of_split, strict=True)
        ],
        tokens=a.tokens + b.tokens,
        length_counts=add_values(a.length_counts, b.length_counts),
        numbers=numbers,
        elements=add_values(a.elements, b.elements),
        positives=add_values(a.positives, b.positives),
        sums=add_values(a.sums, b.sums),
        unknown=add_values(a.unknown, b.unknown),
        attributed=a.attributed + b.attributed,
        split_times_ms=b.split_times_ms,
        complete_until_ms=b.complete_until_ms,
        id_types=a.id_types | b.id_types,
    )
