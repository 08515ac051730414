"""What a decided day tells Prometheus."""

import time

from ray.util.metrics import Gauge

from rayrank.run import series
from rayrank.run.daily_outcome import DayOutcome


def tell_day(outcome: DayOutcome) -> None:
    """A day was decided on, just now."""
    of = {"ranker": outcome.ranker, "day": outcome.day}
    decided, now = Gauge(*series.DECIDED.told), time.time()
    if outcome.accepted:
        decided.set(now, {**of, "outcome": "accepted", "gate": ""})
    for name in {gate.name for gate in outcome.failed}:
        decided.set(now, {**of, "outcome": "refused", "gate": name})
    Gauge(*series.SECONDS.told).set(outcome.seconds, of)
    auc = Gauge(*series.AUC.told)
    for task, measure in (outcome.before or {}).items():
        if "auc" in measure.metrics:
            auc.set(measure.metrics["auc"].value, {**of, "task": task})
