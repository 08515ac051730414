"""How a number's values were spread over the training rows."""

import math
from typing import NamedTuple


class Scale(NamedTuple):
    """What a model makes numbers alike by, and what it takes from nobody."""

    mean: float
    deviation: float
    low: float = -math.inf
    """Values below it count as it: the least of the training rows, less their range."""
    high: float = math.inf
    """Values above it count as it: the greatest of the training rows, plus their range."""
