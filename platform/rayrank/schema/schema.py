"""`schema.yaml`: the one file a user writes to bring a data set.

It names every column of the log: which token it belongs to, its kind, the embedding table it
shares, and the tasks to predict. Everything else in rayrank is derived from it.
"""

import re
from datetime import timedelta
from functools import cached_property
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    BeforeValidator,
    Field,
    FiniteFloat,
    PlainSerializer,
    field_validator,
    model_validator,
)

from rayrank.storage import AnyPath, place
from rayrank.strict import Strict, parse, read_yaml

Token = Literal["profile", "behaviour", "candidate"]
Kind = Literal["id", "ids", "bucket", "number"]
Source = Literal["exposures", "items", "users"]

# What rows and requests call their own columns, and no feature or task may be called.
RESERVED = {"user", "item", "time", "time_ms", "known_at", "known_at_ms"}
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


class Table(Strict):
    """An embedding table, shared by every feature that names it."""

    dim: Annotated[int, Field(gt=0, le=1024, multiple_of=4)]
    capacity: Annotated[int, Field(gt=0)] = 1 << 17
    """The most distinct ids it may hold, over all ranks: its memory budget."""


class Feature(Strict):
    """One column, and what it becomes."""

    tokens: Annotated[list[Token], Field(min_length=1)]
    kind: Kind
    source: Source = "exposures"
    column: str | None = None
    """The column's name in its source; the feature's own name unless said."""
    table: str | None = None
    boundaries: list[FiniteFloat] | None = None
    """For `bucket`: ascending edges; value x becomes the number of edges <= x."""
    transform: Literal["none", "log1p"] = "none"
    default: Int64 | FiniteFloat | str | None = None
    """What a missing value means. Without one, a missing value is an error."""
    as_of: str | None = None
    """For statistics: the column that says when they were computed. Checked not to lie after
    the exposure."""

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "Feature":
        embedded = self.kind != "number"
        if embedded and self.table is None:
            raise ValueError(f"a feature of kind {self.kind} needs a table")
        if not embedded and self.table is not None:
            raise ValueError("a feature of kind number takes no table; use kind bucket or id")
        if (self.kind == "bucket") != (self.boundaries is not None):
            raise ValueError("boundaries belong to kind bucket, and bucket needs them")
        if self.boundaries is not None and self.boundaries != sorted(set(self.boundaries)):
            raise ValueError("boundaries must ascend strictly")
        if self.transform != "none" and self.kind != "number":
            raise ValueError("transform belongs to kind number")
        if self.kind == "ids" and self.default is not None:
            raise ValueError("a list takes no default: a missing list is an empty one")
        if self.kind in ("number", "bucket") and isinstance(self.default, str):
            raise ValueError(f"the default of a {self.kind} must be a number")
        if self.kind == "id" and isinstance(self.default, float):
            raise ValueError("the default of an id must be a 64-bit integer or a string")
        if len(set(self.tokens)) != len(self.tokens):
            raise ValueError("a token is named twice")
        return self


class Task(Strict):
    """A binary outcome to predict: a column of 0 and 1, or an event within a time."""

    label: str | None = None
    """A column of the exposures that holds 0 or 1."""
    event: str | None = None
    """A `type` in the events table."""
    within: Duration | None = None
    after: str | None = None
    """For `event`: the task whose positive outcome starts the clock (else the exposure does)."""
    given: str | None = None
    """ESMM: this task's probability is its parent's times its own given the parent."""

    @model_validator(mode="after")
    def _one_origin(self) -> "Task":
        if (self.label is None) == (self.event is None):
            raise ValueError("a task needs either a label column or an event")
        if (self.event is None) != (self.within is None):
            raise ValueError("event and within go together")
        if self.after is not None and self.event is None:
            raise ValueError("after belongs to an event")
        return self


class Schema(Strict):
    """A data set, described. See docs/data.md for an example with every key."""

    name: Name
    user: str
    item: str
    time: str
    """When the exposure happened: a timestamp column, or an integer in `time_unit`."""
    time_unit: Literal["s", "ms", "us"] = "ms"
    timezone: str = "UTC"
    """Whose midnight starts a window."""
    known_at: str | None = None
    """When the columns in `outcomes` were known; the exposure's time unless said."""
    outcomes: list[str] = []
    """Columns that happen after the exposure. Behaviours may carry them, candidates never."""
    behaviours: str | None = None
    """A task: only its positive exposures enter history. All exposures do unless said."""
    tables: dict[Name, Table] = {}
    features: Annotated[dict[Name, Feature], Field(min_length=1)]
    tasks: Annotated[dict[Name, Task], Field(min_length=1)]

    @field_validator("timezone")
    @classmethod
    def _is_a_timezone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("expected an IANA time zone such as Asia/Shanghai") from None
        return value

    @model_validator(mode="after")
    def _features_fit_their_tokens(self) -> "Schema":
        for name, feature in self.features.items():
            where = f"features.{name}"
            if name in RESERVED:
                raise ValueError(f"{where}: the name is taken; call it otherwise and set column")
            if feature.table is not None and feature.table not in self.tables:
                raise ValueError(f"{where}: no table {feature.table!r} in tables")
            if "profile" in feature.tokens:
                if feature.tokens != ["profile"]:
                    raise ValueError(f"{where}: a profile feature is in no other token")
                if feature.source != "users" and self.column(name) != self.user:
                    raise ValueError(
                        f"{where}: a profile feature comes from users (or is the user)"
                    )
            elif feature.source == "users":
                raise ValueError(f"{where}: a feature of users belongs to token profile")
            if "candidate" in feature.tokens and self.column(name) in self.outcome_columns:
                raise ValueError(
                    f"{where}: column {self.column(name)!r} is known only after the exposure; "
                    "as a feature of a candidate it would leak the answer"
                )
            if feature.as_of is not None and feature.source != "exposures":
                raise ValueError(f"{where}: as_of belongs to features of exposures")
        unused = set(self.tables) - {f.table for f in self.features.values()}
        if unused:
            raise ValueError(f"tables.{sorted(unused)[0]}: no feature uses it")
        return self

    @model_validator(mode="after")
    def _tasks_stand_on_earlier_ones(self) -> "Schema":
        earlier: list[str] = []
        for name, task in self.tasks.items():
            if name in RESERVED or (name in self.features and self.column(name) != name):
                raise ValueError(f"tasks.{name}: the name is taken")
            for key, other in (("given", task.given), ("after", task.after)):
                if other is not None and other not in earlier:
                    raise ValueError(f"tasks.{name}.{key}: no task {other!r} above it")
            earlier.append(name)
        if self.behaviours is not None and self.behaviours not in self.tasks:
            raise ValueError(f"behaviours: no task {self.behaviours!r}")
        return self

    def column(self, feature: str) -> str:
        """The column of its source that `feature` is read from."""
        return self.features[feature].column or feature

    @cached_property
    def outcome_columns(self) -> frozenset[str]:
        """Columns of an exposure that are known only after it: labels (attributed ones too),
        `outcomes`, and when they were known."""
        labels = {task.label or name for name, task in self.tasks.items()}
        known_at = {self.known_at} if self.known_at not in (None, self.time) else set()
        return frozenset(labels | known_at | set(self.outcomes))

    def features_of(self, token: Token) -> dict[str, Feature]:
        """The features of a token, in the order of the file."""
        return {name: f for name, f in self.features.items() if token in f.tokens}

    @property
    def has_events(self) -> bool:
        """Whether any task is attributed from the events table."""
        return any(task.event is not None for task in self.tasks.values())


def load_schema(path: str | AnyPath) -> Schema:
    """Read and check a schema file; ConfigError names the file, the key and what is expected.

    >>> load_schema("s3://bucket/log/schema.yaml")  # doctest: +SKIP
    """
    return parse(Schema, read_yaml(place(path)), str(path))
