"""How a log is made and cut."""

from typing import Annotated

from pydantic import Field

from rayrank.strict import Strict

Share = Annotated[float, Field(ge=0, lt=1)]


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
