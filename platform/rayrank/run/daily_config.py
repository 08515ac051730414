"""How a ranker is trained day by day."""

from typing import Annotated

from pydantic import Field

from rayrank.evaluate.gate import GateConfig
from rayrank.strict import Positive, Strict
from rayrank.train.config import RankerConfig


class DailyConfig(Strict):
    """Training that goes on with each day (docs/daily.md)."""

    held_out: Annotated[float, Field(gt=0, le=0.5)] = 0.1
    """The share of a day's users whose rows of that day no model learns from; drawn anew for every
    day."""
    rate: Annotated[float, Field(gt=0)] = 0.5
    """Of `learning_rate` and `table_learning_rate`, where a day begins from the model before it."""
    final_rate: Annotated[float, Field(ge=0, le=1)] = 0.1
    """What is left of that at the day's last step; the next day begins at `rate` again."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Of such a day: its optimizer goes on where it was, and needs none."""
    epochs: Positive = 1
    """Times that a day's rows are trained."""
    gates: GateConfig = GateConfig()

    def of_day(self, config: RankerConfig, *, first: bool) -> RankerConfig:
        """A ranker's config for a day: its own for the first one, which begins from nothing."""
        train = config.train
        if first:
            return config.model_copy(
                update={"train": train.model_copy(update={"start_from": None})}
            )
        told = {
            "start_from": None,  # the checkpoint is handed over, and is another one every day
            "learning_rate": self.rate * train.learning_rate,
            "table_learning_rate": self.rate * train.table_learning_rate,
            "final_rate": self.final_rate,
            "warmup_steps": self.warmup_steps,
            "epochs": self.epochs,
        }
        return config.model_copy(update={"train": train.model_copy(update=told)})
