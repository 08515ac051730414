"""How a log is made and cut."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from rayrank.strict import Positive, Share, Strict


class SplitConfig(Strict):
    """Shares of the exposures in time order: the last go to test, those before them to valid."""

    valid: Share = 0.0
    """Of the exposures that are not test."""
    test: Share = 0.2


class SimulateConfig(Strict):
    """The size of the simulated log; its difficulty is fixed."""

    users: Annotated[int, Field(ge=1)] = 2000
    items: Annotated[int, Field(ge=360)] = 400
    """Every cuisine (there are 12) needs more than a session can show."""
    days: Annotated[int, Field(ge=1)] = 10
    mean_length: Annotated[float, Field(gt=0)] = 60
    """Tokens in a user row (clicks so far, and the day's exposures), averaged over user-days;
    met to about a tenth."""
    max_length: Annotated[int, Field(ge=1)] = 3000
    seed: Annotated[int, Field(ge=0)] = 0


class DataConfig(Strict):
    """From a log to user rows."""

    source: Literal["simulate", "kuairand", "parquet"]
    path: str | None = None
    """Where the log is: KuaiRand's folder or file, or a folder (or URI) of generic Parquet."""
    schema_path: str | None = None
    """The schema of a Parquet log; `schema.yaml` beside its tables unless said."""
    simulate: SimulateConfig = SimulateConfig()
    split: SplitConfig = SplitConfig()
    partitions: Positive = 4
    """Of users. Several per core; each must fit in a worker's memory."""
    max_history: Positive = 3000
    """The most recent behaviours known before the window that a row keeps."""

    @model_validator(mode="after")
    def _has_its_path(self) -> "DataConfig":
        if (self.source == "simulate") != (self.path is None):
            raise ValueError("path belongs to sources kuairand and parquet, and they need it")
        if self.schema_path is not None and self.source != "parquet":
            raise ValueError("schema_path belongs to source parquet; the others write their own")
        return self
