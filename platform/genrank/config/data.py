"""How a log is made and cut."""

from typing import Annotated

from pydantic import Field

from genrank.strict import Strict

Share = Annotated[float, Field(ge=0, lt=1)]


class SplitConfig(Strict):
    """Shares of the exposures in time order: the last go to test, those before them to valid."""

    valid: Share = 0.0
    """Of the exposures that are not test."""
    test: Share = 0.2
