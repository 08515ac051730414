"""Numbers that a model takes for the edge of what it learned from: which, and how many."""

import math
from collections import Counter
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from rayrank.data.scale import Scale
from rayrank.schema import PROFILE, Schema

Ranges = dict[str, tuple[float, float]]
"""TOKEN.FEATURE -> the least and the greatest that it counts as."""


def ranges_of(scales: Mapping[str, Scale]) -> Ranges:
    """Of all features of which training rows hold a number."""
    return {
        name: (scale.low, scale.high)
        for name, scale in scales.items()
        if not name.startswith("label.") and math.isfinite(scale.low) and math.isfinite(scale.high)
    }


def outside(rows: pa.Table, schema: Schema, ranges: Ranges) -> Counter[str]:
    """TOKEN.FEATURE -> how many values in user rows lie outside of its range, or are no number;
    of features of which any do."""
    found: Counter[str] = Counter()
    for group in schema.groups:
        for name, feature in schema.features_of(group.token).items():
            between = ranges.get(f"{group.token}.{name}")
            if feature.kind == "number" and between is not None:
                values = rows[group.name].combine_chunks().field(name)
                numbers = (values if group == PROFILE else values.flatten()).to_numpy(False)
                inside = (numbers >= between[0]) & (numbers <= between[1])
                found[f"{group.token}.{name}"] += len(numbers) - int(np.count_nonzero(inside))
    return +found
