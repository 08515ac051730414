"""What a build tells Prometheus, from the process that has its whole account."""

import time

from ray.util.metrics import Gauge

from rayrank.data import series
from rayrank.data.chunks import Chunk
from rayrank.data.row_stats import RowStats
from rayrank.data.shuffle import Made


def tell_build(rows: str, chunks: list[Chunk], look_s: float, made: Made) -> None:
    """A build of the rows' version `rows` is over. look_s: what the first look at the log took."""
    stats = RowStats.merge([made.stats[day] for day in sorted(made.stats)])
    of = {"rows": rows}
    Gauge(*series.BUILT.told).set(time.time(), of)
    Gauge(*series.COMPLETE_UNTIL.told).set(stats.complete_until_ms / 1000, of)
    Gauge(*series.EXPOSURES.told).set(stats.exposures, of)
    Gauge(*series.ROWS.told).set(stats.rows, of)
    Gauge(*series.TOKENS.told).set(stats.tokens, of)
    events = Gauge(*series.EVENTS.told)
    for task, (there, belong) in made.events.items():
        events.set(belong, {**of, "task": task, "belong": "true"})
        events.set(there - belong, {**of, "task": task, "belong": "false"})
    labels, positives = Gauge(*series.LABELS.told), Gauge(*series.POSITIVES.told)
    for task, unknown in stats.unknown.items():
        labels.set(stats.exposures - unknown, {**of, "task": task, "known": "true"})
        labels.set(unknown, {**of, "task": task, "known": "false"})
    for task, positive in stats.positives.items():
        positives.set(positive, {**of, "task": task})
    cut = Gauge(*series.LISTS_CUT.told)
    for feature, lists in made.lists_cut.items():
        cut.set(lists, {**of, "feature": feature})
    seconds = Gauge(*series.SECONDS.told)
    for stage, took_s in {"look": look_s, **made.seconds}.items():
        seconds.set(took_s, {**of, "stage": stage})
    size = Gauge(*series.BYTES.told)
    size.set(sum(chunk.bytes for chunk in chunks), {**of, "of": "log"})
    size.set(made.bytes, {**of, "of": "rows"})
