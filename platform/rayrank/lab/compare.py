"""Cells side by side: means over seeds, and paired differences."""

from collections.abc import Mapping, Sequence

import numpy as np

from rayrank.lab.measure import EVERYONE, Key, Measured
from rayrank.lab.results import Line
from rayrank.metrics import QUALITY, Estimate
from rayrank.metrics.over_seeds import over_seeds

Seeds = Sequence[Measured]
"""Of one model from several seeds, in their order; of a baseline, which draws nothing, once."""


def lines(data: str, measured: Mapping[str, Seeds], subject: Seeds) -> list[Line]:
    """Every metric of every model, and its difference to the subject's."""
    found = []
    for model, seeds in measured.items():
        for key in seeds[0].points:
            values = [one.points[key] for one in seeds if key in one.points]
            mean = beyond = Estimate(float("nan"), float("nan"))
            if key in seeds[0].draws:
                mean = over_seeds(draws(seeds, key, 1))
                if seeds is not subject:
                    beyond = difference(seeds, subject, key)
            found.append(
                Line(
                    data,
                    model,
                    *key,
                    float(np.mean(values)),
                    float(np.std(values, ddof=1)) if len(values) > 1 else float("nan"),
                    len(values) if len(seeds) > 1 else 0,
                    mean.standard_error,
                    beyond.value,
                    beyond.low,
                    beyond.high,
                )
            )
    return found


def difference(one: Seeds, other: Seeds, key: Key) -> Estimate:
    """The one minus the other, seed by seed on the same draws of users. A baseline, which has no
    seeds, against every seed of the other."""
    return over_seeds(apart(one, other, key))


def apart(one: Seeds, other: Seeds, key: Key) -> np.ndarray:
    """float64 [seeds, 1 + draws]: what `difference` is made of."""
    return draws(one, key, len(other)) - draws(other, key, len(one))


def draws(seeds: Seeds, key: Key, beside: int) -> np.ndarray:
    """float64 [seeds, 1 + draws]; of one seed as often as there are beside it."""
    many = np.stack([one.draws[key] for one in seeds])
    return np.repeat(many, beside, axis=0) if len(seeds) == 1 else many


def ranking_keys(measured: Seeds) -> list[Key]:
    """Of each task the metric that rankers are compared by, over all exposures."""
    compared = {quality.compared_by for quality in QUALITY.values()}
    return [key for key in measured[0].draws if key[1] == EVERYONE and key[2] in compared]
