"""What the lab found, as types: the report shows them, the tables are them."""

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Self, TypeVar, get_type_hints

from rayrank.lab.power_law import Band
from rayrank.metrics import Estimate

L = TypeVar("L", bound=tuple)


class Line(NamedTuple):
    """A metric of a model, or of a variant of the subject, on a log."""

    data: str
    model: str
    task: str
    slice: str
    metric: str
    mean: float
    """Over seeds; so is `std`."""
    std: float
    seeds: int
    """0 of a baseline, which draws nothing."""
    error: float
    """The standard error of the mean, over users and seeds (`metrics.over_seeds`); NaN where it was
    not measured (slices, and what is no ranking), as the difference."""
    difference: float
    """To the subject with its chosen settings, paired by seed and by draws of users; `low` and
    `high` are its 95 % interval."""
    low: float
    high: float


class SizeLine(NamedTuple):
    """A metric of one size of the subject."""

    data: str
    family: str
    size: str
    flops_per_row: float
    dense_parameters: int
    sparse_parameters: int
    task: str
    metric: str
    mean: float
    std: float
    seeds: int
    gain: float
    """Above the model that sizes are compared to, paired; with its 95 % interval."""
    low: float
    high: float


class FitLine(NamedTuple):
    """gain = a x FLOPs^b over the sizes of a family, with the 95 % interval of b."""

    data: str
    family: str
    task: str
    against: str
    a: float
    b: float
    b_low: float
    b_high: float


class CostLine(NamedTuple):
    """What a model costs (`cost`)."""

    data: str
    model: str
    dense_parameters: int
    sparse_parameters: int
    flops_per_row: float
    flops_per_candidate: float
    train_tokens_per_s: float
    serving_ms_100: float
    serving_ms_1000: float


class TrialLine(NamedTuple):
    """Settings that were tried."""

    data: str
    model: str
    changes: str
    """As JSON, of what is varied."""
    worth: float
    """On validation days, over tasks the mean of AUC and GAUC."""
    chosen: bool


class Curve(NamedTuple):
    """The gains of a family's sizes on a task, and the law through them."""

    data: str
    family: str
    task: str
    against: str
    names: list[str]
    flops: list[float]
    gains: list[Estimate]
    band: Band
    oracle: float | None
    """The oracle's gain, where there is one: the most that can be had."""


class Found(NamedTuple):
    """Everything."""

    subject: str
    quality: list[Line]
    ablation: list[Line]
    scaling: list[SizeLine]
    fits: list[FitLine]
    costs: list[CostLine]
    trials: list[TrialLine]
    curves: list[Curve]

    def tables(self) -> dict[str, str]:
        """Name -> CSV."""
        return {
            "quality": _csv(Line._fields, self.quality),
            "ablation": _csv(Line._fields, self.ablation),
            "scaling": _csv(SizeLine._fields, self.scaling),
            "scaling_fit": _csv(FitLine._fields, self.fits),
            "cost": _csv(CostLine._fields, self.costs),
            "trials": _csv(TrialLine._fields, self.trials),
        }

    @classmethod
    def of(cls, subject: str, tables: Mapping[str, str]) -> Self:
        """What `tables` told: but for curves, whose bands are in none."""
        return cls(
            subject,
            _lines(Line, tables["quality"]),
            _lines(Line, tables["ablation"]),
            _lines(SizeLine, tables["scaling"]),
            _lines(FitLine, tables["scaling_fit"]),
            _lines(CostLine, tables["cost"]),
            _lines(TrialLine, tables["trials"]),
            [],
        )


def _csv(columns: Sequence[str], lines: Sequence[tuple]) -> str:
    """Six figures, nothing where a number was not measured."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_told(value) for value in line] for line in lines)
    return text.getvalue()


def _lines(kind: type[L], text: str) -> list[L]:
    read = [_READ[of] for of in get_type_hints(kind).values()]
    _, *lines = csv.reader(io.StringIO(text))
    return [kind(*(f(value) for f, value in zip(read, line, strict=True))) for line in lines]


_READ: dict[type, Callable[[str], Any]] = {
    str: str,
    int: int,
    float: lambda told: float(told or "nan"),
    bool: lambda told: told == "True",
}


def _told(value: object) -> object:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return value
