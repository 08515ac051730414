"""How a log is made and cut."""

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BeforeValidator, Field, model_validator

from rayrank.strict import Positive, Strict, Uri


def _cut(value: Any) -> float | date:
    """A share, or a date as YAML or a person writes it."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        if isinstance(value, str):
            return date.fromisoformat(value)
        if not isinstance(value, bool) and 0 <= value < 1:
            return float(value)
    except (TypeError, ValueError):
        pass
    raise ValueError("expected a share from 0 to below 1, or a date such as 2026-11-24")


Cut = Annotated[float | date, BeforeValidator(_cut)]


class SplitConfig(Strict):
    """What is later goes to valid and test: by shares of the exposures in time order, or by date.
    Rows that are kept by day need dates, or nothing (0)."""

    valid: Cut = 0.0
    """A share of the exposures that are not test; or the first day of valid."""
    test: Cut = 0.2
    """A share of all exposures: the last of them, which no ranker is trained on; or the first day
    of test."""

    @model_validator(mode="after")
    def _alike(self) -> "SplitConfig":
        if isinstance(self.valid, date) and not isinstance(self.test, date):
            raise ValueError("valid is a date, so test must be one")
        if isinstance(self.test, date):
            if not isinstance(self.valid, date) and self.valid != 0:
                raise ValueError("test is a date, so valid must be one, or 0")
            if isinstance(self.valid, date) and self.valid > self.test:
                raise ValueError("valid starts after test")
        return self

    def by_date(self) -> bool:
        """Whether the cuts stay where they are when the log grows."""
        return isinstance(self.test, date) or self.valid == self.test == 0


class SimulateConfig(Strict):
    """The world of the simulated log, and its size; its difficulty is fixed."""

    world: Literal["restaurants", "feed"] = "restaurants"
    """Food delivery, where running statistics tell most; or a feed, where sequences do."""
    users: Annotated[int, Field(ge=1)] = 2000
    """How many people there are."""
    items: Annotated[int, Field(ge=360)] = 400
    """How many restaurants, or posts; every cuisine (there are 12) needs more than a session can
    show. A feed has a long tail: thousands."""
    days: Annotated[int, Field(ge=1)] = 10
    """How long the log goes on."""
    mean_length: Annotated[float, Field(gt=0)] = 60
    """Clicks so far and the day's exposures in a user row, averaged over user-days; met to about a
    tenth. Tokens of the user's profile come on top; in a feed those of views, likes and saves too,
    while of clicks it keeps the last 60."""
    max_length: Annotated[int, Field(ge=1)] = 3000
    """The same of the longest row; exposures that would make it longer are left out; in a feed
    requests that could."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of everything that is drawn."""


class DataConfig(Strict):
    """From a log to user rows."""

    source: Literal["simulate", "kuairand", "parquet"]
    """A simulated log, KuaiRand's files, or generic Parquet with a schema of one's own."""
    path: Uri | None = None
    """Where the log is: KuaiRand's folder or file, or a folder (or URI) of generic Parquet."""
    schema_path: Uri | None = None
    """The schema of a Parquet log; `schema.yaml` beside its tables unless said."""
    simulate: SimulateConfig = SimulateConfig()
    split: SplitConfig = SplitConfig()
    complete_until: AwareDatetime | None = None
    """Until when the log holds all that happened; until its last exposure or event unless said.
    What is still open then is an unknown label, no negative."""
    partitions: Positive | None = None
    """Of users; each must fit in a worker's memory. From the log's size unless said: 64 MiB of its
    columns each, and 4 at least."""

    @model_validator(mode="after")
    def _has_its_path(self) -> "DataConfig":
        if (self.source == "simulate") != (self.path is None):
            raise ValueError("path belongs to sources kuairand and parquet, and they need it")
        if self.schema_path is not None and self.source != "parquet":
            raise ValueError("schema_path belongs to source parquet; the others write their own")
        return self
