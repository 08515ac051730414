"""The parts of a schema: embedding tables, features, sequences, tasks."""

import re
from datetime import timedelta
from functools import cached_property
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    PlainSerializer,
    model_validator,
)

from rayrank.strict import Positive, Strict

Kind = Literal["id", "ids", "bucket", "cross", "number", "vector"]
EXPOSURES = "exposures"
"""The table of what was shown, which every log has."""

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _duration(value: Any) -> Any:
    """'90s', '10m', '1h', '7d' -> timedelta; anything else is left to pydantic."""
    match = re.fullmatch(r"(\d{1,9})([smhd])", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("expected a duration such as 90s, 10m, 1h or 7d")
    return timedelta(seconds=int(match[1]) * UNITS[match[2]])


Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(lambda value: f"{int(value.total_seconds())}s"),
]
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=64)]


Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]


Width = Annotated[int, Field(gt=0, le=1024, multiple_of=4)]
"""Of vectors."""


class Table(Strict):
    """An embedding table, shared by every feature that names it."""

    dim: Width
    """The width of its vectors."""
    capacity: Annotated[int, Field(gt=0)] = 1 << 17
    """The most distinct ids it may hold, over all ranks: its memory budget."""


class Feature(Strict):
    """One column, and what it becomes."""

    tokens: Annotated[list[str], Field(min_length=1)]
    """Which tokens it is part of: `profile`, sequences by their names, `candidate`."""
    kind: Kind
    """An id, a list of ids (mean-pooled), a number cut into buckets, a cross of other ids, a number
    as it is, or a vector of numbers."""
    source: Literal["items", "users"] | None = None
    """The table that is joined for it. Unless said, it is a column of what the token itself is a
    row of: the exposures for a candidate, the sequence's own table for a behaviour."""
    column: str | None = None
    """The column's name in its source; the feature's own name unless said."""
    table: str | None = None
    """The embedding table of its ids or buckets; several features may share one."""
    of: Annotated[list[str], Field(min_length=2)] | None = None
    """For `cross`: the features (ids and buckets) it is made of, each of the same token or, for a
    candidate, of the profile. Rows hold its id; neither a log nor a request has a column for it."""
    width: Annotated[int, Field(gt=0, le=4096)] | None = None
    """For `vector`: how many numbers it has, such as a content embedding's. They enter the model as
    they are."""
    boundaries: list[FiniteFloat] | None = None
    """For `bucket`: ascending edges; value x becomes the number of edges <= x."""
    transform: Literal["none", "log1p"] = "none"
    """For `number`: log1p for what has a long tail, such as counts."""
    limit: Positive | None = None
    """For `ids`: how many of a list count, its first ones; lists that are cut are counted and told.
    Unless said, a list of more than 1,000 is an error."""
    default: Int64 | FiniteFloat | str | None = None
    """What a missing value means. Without one, a missing value is an error."""
    as_of: str | None = None
    """For statistics: the column that says when they were computed. Checked not to lie after
    the exposure."""

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "Feature":
        embedded = self.kind not in ("number", "vector")
        if embedded and self.table is None:
            raise ValueError(f"a feature of kind {self.kind} needs a table")
        if not embedded and self.table is not None:
            raise ValueError(f"a feature of kind {self.kind} takes no table; use kind bucket or id")
        for kind, key in (("cross", "of"), ("vector", "width"), ("bucket", "boundaries")):
            if (self.kind == kind) != (getattr(self, key) is not None):
                raise ValueError(f"{key} belongs to kind {kind}, which needs it")
        if self.boundaries is not None and self.boundaries != sorted(set(self.boundaries)):
            raise ValueError("boundaries must ascend strictly")
        if self.transform != "none" and self.kind != "number":
            raise ValueError("transform belongs to kind number")
        if len(set(self.tokens)) != len(self.tokens):
            raise ValueError("a token is named twice")
        return self

    @model_validator(mode="after")
    def _default_fits_its_kind(self) -> "Feature":
        elsewhere = (self.source, self.column, self.default, self.as_of)
        if self.kind == "cross" and elsewhere != (None,) * 4:
            raise ValueError("a cross has no source, column, default or as_of of its own")
        if self.kind == "ids" and self.default is not None:
            raise ValueError("a list takes no default: a missing list is an empty one")
        if self.kind != "ids" and self.limit is not None:
            raise ValueError("limit belongs to kind ids")
        if self.kind in ("number", "bucket", "vector") and isinstance(self.default, str):
            raise ValueError(f"the default of a {self.kind} must be a number")
        if self.kind == "id" and isinstance(self.default, float):
            raise ValueError("the default of an id must be a 64-bit integer or a string")
        return self


class Sequence(Strict):
    """Behaviours of a user: where they are found, when they were known, how many are kept."""

    model_config = ConfigDict(serialize_by_alias=True)

    table: Annotated[str, Field(alias="from", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    """`exposures`, `events`, or any table of the log with a user and a time."""
    where: str | None = None
    """A task, for a sequence from exposures: only its positives, from when that was known."""
    type: str | None = None
    """For a table with a column `type`, such as events: only rows of this type."""
    time: str | None = None
    """The table's time column; the schema's `time` unless said."""
    known_at: str | None = None
    """When its rows were known, a column of its table; their time unless said. What comes from
    exposures is known with the last of the outcomes that it carries or is selected by."""
    keep: Positive = 3000
    """The most recent behaviours known before the window that a row keeps."""

    @model_validator(mode="after")
    def _fits_its_table(self) -> "Sequence":
        if self.table in ("items", "users"):
            raise ValueError(f"from names a table of what users did, which {self.table} are not")
        if self.where is not None and self.table != EXPOSURES:
            raise ValueError("where belongs to a sequence from exposures; use type")
        if self.table == EXPOSURES and (self.type, self.time, self.known_at) != (None,) * 3:
            raise ValueError("a sequence from exposures has no type and no times of its own")
        return self


COMPARISON = re.compile(r"\s*([^<>=!]*[^<>=!\s])\s*(>=|<=|==|!=|>|<)\s*(-?\d+(?:\.\d+)?)\s*")


class Comparison(NamedTuple):
    """Of a column with a number."""

    column: str
    sign: str
    bound: float


class LossConfig(Strict):
    """What of a binary task is minimised beside its log-loss, so that what is shown together is
    ranked right. Nothing, unless said: the log-loss alone."""

    jrc: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The share of JRC's generative term (arXiv 2208.06164); the log-loss has the rest. Among the
    candidates of one request it asks which ones the positives are, and which the negatives. Of a
    schema without `request`, among all those of a user row."""
    pairwise: Annotated[float, Field(ge=0)] = 0.0
    """The weight of RankNet's loss, added to the others: of the pairs of a positive and a negative
    in a user row, averaged over the row's pairs, each row counted by its known labels (as GAUC
    counts users)."""

    def in_words(self) -> str:
        """`0.7 log-loss + 0.3 jrc + 0.1 pairwise`, of what there is."""
        terms = {"log-loss": 1 - self.jrc, "jrc": self.jrc, "pairwise": self.pairwise}
        return " + ".join(f"{share:g} {name}" for name, share in terms.items() if share)


class Task(Strict):
    """An outcome to predict: whether something happened, or a number from 0."""

    kind: Literal["binary", "number"] = "binary"
    """Whether the label is 0 or 1, or a number from 0, such as watch time. A number is learned by
    the squared error of log(1 + x), so that its unit matters: choose one in which 1 is little.
    What is predicted is x, measured by mean absolute error and rank correlation."""
    label: str | None = None
    """A column of the exposures that holds 0 or 1, or a comparison of one with a number, such as
    `rating >= 4`; the number itself for a task that is one. Where the column is null or NaN, the
    label is unknown."""
    known_at: str | None = None
    """For `label`: the column that says when it was known; the schema's `known_at` unless said."""
    event: str | None = None
    """A `type` in the events table."""
    within: Duration | None = None
    """For `event`: how long after its clock has started one counts, such as 90s, 10m, 1h or 7d."""
    after: str | None = None
    """For `event`: the task whose positive outcome starts the clock (else the exposure does)."""
    given: str | None = None
    """ESMM: this task's probability is its parent's times its own given the parent."""
    # Not written where nothing is said: what was made from a schema before keeps its name.
    loss: LossConfig = Field(default=LossConfig(), exclude_if=lambda loss: loss == LossConfig())
    """What is minimised beside the log-loss, of a binary task. Rows do not depend on it."""

    @property
    def label_column(self) -> str | None:
        """The column of the exposures that the label is read from."""
        return self.comparison.column if self.comparison else self.label

    @cached_property
    def comparison(self) -> "Comparison | None":
        """What the label column is compared with; None where it holds 0 and 1."""
        found = COMPARISON.fullmatch(self.label or "")
        return Comparison(found[1], found[2], float(found[3])) if found else None

    @model_validator(mode="after")
    def _one_origin(self) -> "Task":
        if self.label and self.comparison is None and re.search("[<>=]", self.label):
            raise ValueError("a label is a column, or compares one, as in rating >= 4")
        if (self.label is None) == (self.event is None):
            raise ValueError("a task needs either a label column or an event")
        if (self.event is None) != (self.within is None):
            raise ValueError("event and within go together")
        if self.after is not None and self.event is None:
            raise ValueError("after belongs to an event")
        if self.known_at is not None and self.label is None:
            raise ValueError("known_at belongs to a label; an event is known when it happens")
        if self.kind == "number" and (self.label is None or self.comparison is not None):
            raise ValueError("a number needs a label column; an event and a comparison are binary")
        if self.kind == "number" and self.given is not None:
            raise ValueError("given belongs to a binary task")
        if self.kind == "number" and self.loss != LossConfig():
            raise ValueError("loss belongs to a binary task")
        return self
