"""Scores of two rankers, to be compared: the served one's and the trainer's, or a shadow's."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from rayrank.schema import Schema


def comparable(scores: Sequence[Any], schema: Schema) -> list[np.ndarray]:
    """Of each task: probabilities as they are, numbers as log(1 + x), since they round by parts of
    themselves."""
    return [
        np.log1p(score) if task.kind == "number" else np.asarray(score)
        for score, task in zip(scores, schema.tasks.values(), strict=True)
    ]
