"""What an evaluation found, as types and as JSON."""

from pydantic import ConfigDict

from rayrank.metrics import CalibrationBin, Quality, Slice
from rayrank.strict import Strict

TaskQualities = dict[str, Quality]
"""Task -> quality."""


class Evaluation(Strict):
    """Every ranker and baseline on the same test exposures."""

    model_config = ConfigDict(ser_json_inf_nan="constants")  # a metric may be NaN

    served: str
    """The ranker that the differences are to: the first of the config."""
    rows: str
    """The version of the user rows."""
    versions: dict[str, str]
    """Ranker -> its version."""
    users: int
    exposures: int
    known_labels: dict[str, int]
    """Task -> of how many of them the label is known; the others are in no metric of the task."""
    rankers: dict[str, TaskQualities]
    """In the order of the config."""
    baselines: dict[str, TaskQualities]
    differences: dict[str, TaskQualities]
    """Ranker or baseline -> its metrics minus the served ranker's, on the same draws of users."""
    slices: dict[str, dict[str, list[Slice]]]
    """Ranker or baseline -> task -> parts of the test exposures, by the length of history."""
    calibration: dict[str, list[CalibrationBin]]
    """Of the served ranker, by binary task."""

    @property
    def everyone(self) -> dict[str, TaskQualities]:
        """Rankers, then baselines."""
        return self.rankers | self.baselines
