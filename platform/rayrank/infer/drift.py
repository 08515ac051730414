"""Drift: how far the scores and numbers that are served are from those that export recorded.

The measure is the population stability index, sum of (p - q) ln(p / q) over bins that hold a tenth
of the record each. By custom 0.1 is worth a look, and 0.25 is another population.
"""

import threading
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import Field, FiniteFloat, model_validator

from rayrank.schema import PROFILE, Schema
from rayrank.strict import Strict

DECILES = np.arange(1, 10) / 10
FLOOR = 1e-4
"""What an empty bin counts as."""
LEAST = 500
"""Values, and user rows, of which nothing is said yet."""
WINDOW = 5000
"""The user rows after which what was seen counts a third."""


class Distribution(Strict):
    """How many of some values lie between which."""

    edges: list[FiniteFloat]
    """Ascending; a bin ends with its upper edge, which is in it, the first and last go on for
    ever."""
    shares: list[float] = Field(min_length=1)
    """Of each bin, one more than edges."""

    @model_validator(mode="after")
    def _fits(self) -> "Distribution":
        if not np.all(np.diff(self.edges) > 0):
            raise ValueError("edges must ascend strictly")
        if len(self.shares) != len(self.edges) + 1 or min(self.shares) < 0:
            raise ValueError("expected a share, from 0, for each bin: one more than edges")
        if not abs(sum(self.shares) - 1) < 1e-6:
            raise ValueError("shares must add up to 1")
        return self

    @staticmethod
    def of(values_N: np.ndarray) -> "Distribution":
        """Of finite values, at least one. Bins are tenths; a value that alone fills one
        has a bin of its own, so that what falls below it is seen as what rises above it is."""
        deciles, times = np.unique(
            np.quantile(values_N.astype(np.float64), DECILES, method="lower"), return_counts=True
        )
        below = np.nextafter(deciles[times > 1], -np.inf)
        edges = np.union1d(deciles, below)
        counts = _counts(values_N, edges)
        return Distribution(edges=edges.tolist(), shares=(counts / len(values_N)).tolist())


class Reference(Strict):
    """What export recorded, for `Drift`."""

    split: str
    """Of which user rows."""
    rows: int
    """How many of them gave their numbers."""
    scored_rows: int
    """And how many of those were scored."""
    scores: dict[str, Distribution]
    """By task."""
    numbers: dict[str, Distribution]
    """By TOKEN.FEATURE, numbers as rows store them and buckets by their place."""


def reference_of(
    schema: Schema, split: str, rows: pa.Table, scores: Sequence[np.ndarray]
) -> Reference:
    """What is recorded of user rows, and of the scores of the first of them, float32 [C, K] each.
    What they hold no value of is left out."""
    values: dict[str, list[np.ndarray]] = {}
    for name, found in _numbers_in(rows, schema):
        values.setdefault(name, []).append(found)
    numbers = {name: np.concatenate(parts) for name, parts in values.items()}
    return Reference(
        split=split,
        rows=len(rows),
        scored_rows=len(scores),
        scores=_distributions(dict(_scores_in(scores, schema))),
        numbers=_distributions(numbers),
    )


class Drift:
    """Of what was seen lately against a reference. Any thread may tell it and ask it."""

    def __init__(self, schema: Schema, reference: Reference, window: int = WINDOW) -> None:
        """window: in user rows; what is older counts e times less for each."""
        self.schema = schema
        self._keeps = 1 - 1 / window
        named = {f"score.{task}": of for task, of in reference.scores.items()} | reference.numbers
        self._bins: dict[str, _Bins] = {}
        start = 0
        for name, of in named.items():
            shares = np.array(of.shares)
            self._bins[name] = _Bins(np.array(of.edges), shares, slice(start, start + len(shares)))
            start += len(shares)
        self._counts = np.zeros(start)
        """Of the bins of all names, end to end."""
        self._rows = 0
        self._lock = threading.Lock()

    def saw(self, rows: pa.Table, scores: Sequence[np.ndarray]) -> None:
        """User rows were scored. scores: float32 [C, K] of each row."""
        seen = np.zeros_like(self._counts)
        for task, found in _scores_in(scores, self.schema):
            self._count(f"score.{task}", found, seen)
        for name, found in _numbers_in(rows, self.schema):
            self._count(name, found, seen)
        with self._lock:
            self._counts *= self._keeps ** len(rows)
            self._counts += seen
            self._rows += len(rows)

    def now(self) -> dict[str, float]:
        """score.TASK and TOKEN.FEATURE -> its population stability index. Of names that the
        reference lacks, or that there are too few values of, nothing."""
        with self._lock:
            counts, rows = self._counts.copy(), self._rows
        told = {}
        for name, bins in self._bins.items():
            of = counts[bins.place]
            if rows >= LEAST and of.sum() >= LEAST:
                told[name] = stability_index(of / of.sum(), bins.shares)
        return told

    def _count(self, name: str, values: np.ndarray, seen: np.ndarray) -> None:
        bins = self._bins.get(name)
        if bins is not None:
            seen[bins.place] += _counts(values, bins.edges)


def stability_index(p: np.ndarray, q: np.ndarray) -> float:
    """The population stability index of two distributions over the same bins, float64 [bins]."""
    p, q = np.maximum(p, FLOOR), np.maximum(q, FLOOR)
    return float(np.sum((p - q) * np.log(p / q)))


class _Bins(NamedTuple):
    edges: np.ndarray
    shares: np.ndarray
    place: slice


def _counts(values_N: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """int64 [bins]: how many of values, none of them NaN, are in each."""
    return np.bincount(np.searchsorted(edges, values_N), minlength=len(edges) + 1)


def _distributions(values: dict[str, np.ndarray]) -> dict[str, Distribution]:
    finite = {name: found[np.isfinite(found)] for name, found in values.items()}
    return {name: Distribution.of(found) for name, found in finite.items() if len(found)}


def _scores_in(scores: Sequence[np.ndarray], schema: Schema) -> Iterator[tuple[str, np.ndarray]]:
    """Task, and its scores that are no NaN."""
    p_CK = np.concatenate([np.empty((0, len(schema.tasks)), np.float32), *scores])
    for k, task in enumerate(schema.tasks):
        yield task, _there(p_CK[:, k])


def _numbers_in(rows: pa.Table, schema: Schema) -> Iterator[tuple[str, np.ndarray]]:
    """TOKEN.FEATURE, and its values that are there; of a sequence's parts one after the other."""
    for group in schema.groups:
        features = schema.features_of(group.token)
        named = [name for name, of in features.items() if of.kind in ("number", "bucket")]
        if named:
            column = rows[group.name].combine_chunks()
        for name in named:
            values = column.field(name)
            values = values if group == PROFILE else values.flatten()
            yield f"{group.token}.{name}", _there(values.to_numpy(zero_copy_only=False))


def _there(values_N: np.ndarray) -> np.ndarray:
    """Without NaN, as which a null of Arrow comes too."""
    return values_N[~np.isnan(values_N)]
