"""`schema.yaml`: the one file a user writes to bring a data set.

It names every column of the log: which tokens it belongs to, its kind, the embedding table it
shares, the sequences of behaviours, and the tasks to predict. Everything else in rayrank is
derived from it.
"""

from functools import cached_property
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from rayrank.schema.groups import CANDIDATES, PROFILE, Group, Part, realtime_of, static_of
from rayrank.schema.parts import EXPOSURES, Feature, Name, Sequence, Table, Task
from rayrank.storage import AnyPath, place
from rayrank.strict import Strict, parse, read_yaml

# What rows and requests call their own columns, and no feature or task may be called.
RESERVED = {"user", "item", "time", "time_ms", "known_at", "known_at_ms"}


class Schema(Strict):
    """A data set, described. See docs/data.md for an example with every key."""

    name: Name
    """Of the data set; reports and answers carry it."""
    user: str
    """The column of the user's key, in every table that has one."""
    item: str
    """The column of the item's key, in every table that has one."""
    time: str
    """When the exposure happened: a timestamp column, or an integer in `time_unit`."""
    time_unit: Literal["s", "ms", "us"] = "ms"
    """Of times that are integers, since 1970 UTC."""
    timestamp_zone: str | None = None
    """Whose clock timestamps that carry no time zone are read from; they are refused unless
    said."""
    timezone: str = "UTC"
    """Whose midnight starts a window."""
    request: str | None = None
    """Which request an exposure was shown by. Candidates of one request see what was known when it
    came, and so nothing of each other's outcomes, as in serving. Unless said, each candidate sees
    what was known when it was shown itself."""
    known_at: str | None = None
    """When the columns in `outcomes` were known; the exposure's time unless said."""
    as_of: dict[Literal["items", "users"], str] = {}
    """Tables whose rows change: of each the column that says from when a row holds. What counts is
    the latest that is not after the exposure, or the behaviour, that it is joined to."""
    duplicates: Literal["refuse", "keep"] = "refuse"
    """Exposures that are alike in every column that is read, as a log has them that was written
    twice in part: an error, or each one an exposure of its own."""
    weight: str | None = None
    """How much each exposure counts in training, a column of numbers from 0; one each unless said.
    Metrics count each exposure once."""
    outcomes: list[str] = []
    """Columns that happen after the exposure. Behaviours may carry them, candidates never."""
    sequences: dict[Name, Sequence] = {}
    """What users did before, a sequence of behaviours each, in the order of their tokens."""
    tables: dict[Name, Table] = {}
    features: Annotated[dict[Name, Feature], Field(min_length=1)]
    tasks: Annotated[dict[Name, Task], Field(min_length=1)]

    @field_validator("timezone", "timestamp_zone")
    @classmethod
    def _is_a_timezone(cls, value: str | None) -> str | None:
        try:
            if value is not None:
                ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("expected an IANA time zone such as Asia/Shanghai") from None
        return value

    @model_validator(mode="after")
    def _features_fit_their_tokens(self) -> "Schema":
        known = {PROFILE.token, CANDIDATES.token, *self.sequences}
        for name, feature in self.features.items():
            where, column = f"features.{name}", self.column(name)
            if name in RESERVED:
                raise ValueError(f"{where}: the name is taken; call it otherwise and set column")
            if feature.table is not None and feature.table not in self.tables:
                raise ValueError(f"{where}: no table {feature.table!r} in tables")
            for token in feature.tokens:
                if token not in known:
                    raise ValueError(
                        f"{where}: no token {token!r}; there are {', '.join(sorted(known))}"
                    )
            if PROFILE.token in feature.tokens:
                if len(feature.tokens) > 1:
                    raise ValueError(f"{where}: a profile feature is in no other token")
                if feature.source == "items":
                    raise ValueError(f"{where}: a profile feature comes from users or exposures")
            elif feature.source == "users":
                raise ValueError(f"{where}: a feature of users belongs to token profile")
            if {PROFILE.token, CANDIDATES.token} & {*feature.tokens} and self._is_outcome(name):
                raise ValueError(
                    f"{where}: column {column!r} is known only after the exposure; "
                    "as a feature of a candidate it would leak the answer"
                )
            elsewhere = [t for t, s in self.sequences.items() if s.table != EXPOSURES]
            if feature.as_of is not None and (feature.source or {*elsewhere} & {*feature.tokens}):
                raise ValueError(f"{where}: as_of belongs to features of exposures")
        unused = set(self.tables) - {f.table for f in self.features.values()}
        if unused:
            raise ValueError(f"tables.{sorted(unused)[0]}: no feature uses it")
        return self

    @model_validator(mode="after")
    def _crosses_have_their_parts(self) -> "Schema":
        for name, crossed in self.features.items():
            for part in crossed.of or ():
                where, feature = f"features.{name}.of", self.features.get(part)
                if feature is None or feature.kind not in ("id", "bucket"):
                    raise ValueError(f"{where}: no feature {part!r} of kind id or bucket")
                of_user = crossed.tokens == [CANDIDATES.token] and feature.tokens == [PROFILE.token]
                if not of_user and not {*crossed.tokens} <= {*feature.tokens}:
                    raise ValueError(
                        f"{where}: {part!r} is not in every token of the cross: "
                        f"{', '.join(crossed.tokens)}"
                    )
        return self

    @model_validator(mode="after")
    def _sequences_can_be_read(self) -> "Schema":
        for name, sequence in self.sequences.items():
            where = f"sequences.{name}"
            if name in RESERVED | {PROFILE.token, CANDIDATES.token, CANDIDATES.name}:
                raise ValueError(f"{where}: the name is taken")
            if sequence.where is not None and sequence.where not in self.binary_tasks:
                raise ValueError(f"{where}.where: no binary task {sequence.where!r}")
            if not self.features_of(name):
                raise ValueError(f"{where}: no feature has it among its tokens")
            for feature in self.own_features_of(name) if sequence.table == EXPOSURES else {}:
                if self.column(feature) in self.attributed:
                    task = self.column(feature)
                    raise ValueError(
                        f"features.{feature}: whether {task!r} follows is not known before its "
                        f"time is over, so {name!r} would hide each exposure that long; write a "
                        f"sequence of its own instead: {task}s: {{from: exposures, where: {task}}}"
                    )
        return self

    @model_validator(mode="after")
    def _tasks_stand_on_earlier_ones(self) -> "Schema":
        earlier: list[str] = []
        for name, task in self.tasks.items():
            if name in RESERVED or (name in self.features and self.column(name) != name):
                raise ValueError(f"tasks.{name}: the name is taken")
            for key, other in (("given", task.given), ("after", task.after)):
                if other is not None and other not in earlier:
                    raise ValueError(f"tasks.{name}.{key}: no binary task {other!r} above it")
            if task.kind == "binary":
                earlier.append(name)
        return self

    def of_rows(self) -> dict[str, Any]:
        """What rows and requests depend on, for a fingerprint: all but how tasks are learned."""
        return self.model_dump(mode="json", exclude={"tasks": {"__all__": {"loss"}}})

    @property
    def emptied(self) -> frozenset[Part]:
        """The parts of all sequences that are read as if nothing were in them: a ranker's view
        (`schema.view`) may say so, a data set never."""
        return frozenset()

    # Token groups.

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """Every group of tokens, in the order of a user row."""
        return (PROFILE, *self.static, *self.realtime, CANDIDATES)

    @cached_property
    def static(self) -> tuple[Group, ...]:
        """The sequences' parts from before the window."""
        return tuple(static_of(name) for name in self.sequences)

    @cached_property
    def realtime(self) -> tuple[Group, ...]:
        """The sequences' parts from inside the window."""
        return tuple(realtime_of(name) for name in self.sequences)

    def features_of(self, token: str) -> dict[str, Feature]:
        """The features of a token (of `Group.token`), in the order of the file."""
        return {name: f for name, f in self.features.items() if token in f.tokens}

    def given_features_of(self, token: str) -> dict[str, Feature]:
        """Those of them that a log or a request gives: all but crosses."""
        return {name: f for name, f in self.features_of(token).items() if f.kind != "cross"}

    def is_user(self, feature: str) -> bool:
        """Whether a profile feature is the user's own key."""
        return self.features[feature].source is None and self.column(feature) == self.user

    def is_item(self, feature: str) -> bool:
        """Whether a candidate's feature is the item's own key."""
        return self.features[feature].source is None and self.column(feature) == self.item

    def own_features_of(self, token: str) -> dict[str, Feature]:
        """Those of them that are columns of what the token is a row of."""
        return {name: f for name, f in self.given_features_of(token).items() if f.source is None}

    # Columns.

    def column(self, feature: str) -> str:
        """The column of its source that `feature` is read from."""
        return self.features[feature].column or feature

    def time_column(self, sequence: str) -> str:
        """The column of its table that says when a sequence's behaviours happened."""
        return self.sequences[sequence].time or self.time

    def label_known_at(self, task: str) -> str:
        """The column that says when a task's label column was known."""
        return self.tasks[task].known_at or self.known_at or self.time

    @property
    def binary_tasks(self) -> list[str]:
        """The tasks whose outcome happens or does not."""
        return [name for name, task in self.tasks.items() if task.kind == "binary"]

    @property
    def attributed(self) -> frozenset[str]:
        """The tasks whose labels are made from events: columns that no file holds."""
        return frozenset(name for name, task in self.tasks.items() if task.event is not None)

    @property
    def outcome_known_at(self) -> dict[str, str]:
        """Columns of an exposure that are known only after it, labels and `outcomes`: each with
        the column that says when."""
        at = self.known_at or self.time
        labels = {
            task.label_column: self.label_known_at(name)
            for name, task in self.tasks.items()
            if task.label_column is not None
        }
        return dict.fromkeys(self.outcomes, at) | labels

    def known_at_columns(self, sequence: str) -> list[str]:
        """The columns of its table that say when behaviours were known: with the latest of them,
        and of `time`."""
        of = self.sequences[sequence]
        if of.table != EXPOSURES:
            return [of.known_at] if of.known_at else []
        carried = {self.column(name) for name in self.own_features_of(sequence)}
        if of.where is not None and of.where not in self.attributed:
            carried.add(str(self.tasks[of.where].label_column))
        columns = {at for column, at in self.outcome_known_at.items() if column in carried}
        return sorted(columns - {self.time})

    def _is_outcome(self, feature: str) -> bool:
        times = set(self.outcome_known_at.values()) - {self.time}
        return self.features[feature].source is None and self.column(feature) in (
            {*self.outcome_known_at, *times, *self.attributed}
        )


def load_schema(path: str | AnyPath) -> Schema:
    """Read and check a schema file; ConfigError names the file, the key and what is expected.

    >>> load_schema("s3://bucket/log/schema.yaml")  # doctest: +SKIP
    """
    return parse(Schema, read_yaml(place(path)), str(path))
