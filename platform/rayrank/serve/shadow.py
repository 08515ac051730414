"""A shadow scores what was answered, and is compared with it: beside the answers, never before."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

import numpy as np
import pyarrow as pa

from rayrank.infer.scorer import Scored
from rayrank.schema import Schema
from rayrank.serve.comparable import comparable
from rayrank.serve.served import Served

logger = logging.getLogger("ray.serve")

AT_ONCE = 8
"""Requests under way; more are left out."""
BUSY, OTHER_SCHEMA, FAULT = "busy", "another schema", "fault"
"""Why a request was left out."""


class Shadow:
    """Compares. Any thread may ask it to."""

    def __init__(
        self, compared: Callable[[str, float], None], left_out: Callable[[str], None]
    ) -> None:
        """compared: called with a task, and with the mean over a request's candidates of how far
        the scores are apart, of a number as log(1 + x). left_out: called with why, for a request
        that was not compared. Both from the shadow's thread, too."""
        self.compared, self.left_out = compared, left_out
        self._under_way = threading.BoundedSemaphore(AT_ONCE)
        self._said: set[tuple[str, str]] = set()

    def compare(
        self, served: Served, shadow: Served, rows: pa.Table, scores: list[np.ndarray]
    ) -> None:
        """Score user rows that were answered with `scores`, float32 [C, K] each, by the shadow
        too; returns at once and raises nothing. Only one that reads requests alike can."""
        if not alike(served, shadow):
            self._leave_out(OTHER_SCHEMA, shadow, f"reads other requests than {served.model}")
        elif not self._under_way.acquire(blocking=False):
            self.left_out(BUSY)
        else:
            try:
                scored = shadow.engine.submit(rows)
            except RuntimeError as error:  # closed
                self._under_way.release()
                self._leave_out(FAULT, shadow, str(error))
            else:
                scored.add_done_callback(partial(self._scored, shadow, rows, scores))

    def _scored(
        self,
        shadow: Served,
        rows: pa.Table,
        answered: list[np.ndarray],
        scored: "Future[Scored]",
    ) -> None:
        self._under_way.release()
        error = scored.exception()
        if error is not None:
            self._leave_out(FAULT, shadow, f"{type(error).__name__}: {error}")
            return
        shadow.drift.saw(rows, scored.result().scores)
        apart = differences(answered, scored.result().scores, shadow.schema)
        if not np.isfinite(list(apart.values())).all():
            self._leave_out(FAULT, shadow, f"scores that are no numbers: {apart}")
            return
        for task, difference in apart.items():
            self.compared(task, difference)

    def _leave_out(self, why: str, shadow: Served, what: str) -> None:
        """Counted always; said once of a version."""
        self.left_out(why)
        version = shadow.manifest.version
        if (version, why) not in self._said:
            self._said.add((version, why))
            logger.warning("shadow %s: %s: %s (others are counted only)", version, why, what)


def alike(one: Served, other: Served) -> bool:
    """Whether a request becomes the same rows for both."""
    schema, others = (Schema.model_validate(of.manifest.schema_) for of in (one, other))
    alike_ids = one.manifest.id_types == other.manifest.id_types
    return schema.of_rows() == others.of_rows() and alike_ids


def differences(
    answered: list[np.ndarray], scored: list[np.ndarray], schema: Schema
) -> dict[str, float]:
    """Task -> the mean distance of two lists of scores, float32 [C, K] each; {} of no candidate."""
    ours, theirs = np.concatenate(answered), np.concatenate(scored)
    if len(ours) == 0:
        return {}
    pairs = zip(comparable(list(ours.T), schema), comparable(list(theirs.T), schema), strict=True)
    apart = [float(np.mean(np.abs(one - other), dtype=np.float64)) for one, other in pairs]
    return dict(zip(schema.tasks, apart, strict=True))
