"""A shadow is compared with what was answered, in nobody's way; what it leaves out is told."""

import logging
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rayrank.infer.scorer import Scored
from rayrank.schema import Schema
from rayrank.serve.served import Served, load_served
from rayrank.serve.shadow import AT_ONCE, BUSY, FAULT, OTHER_SCHEMA, Shadow, differences

from ..clusters import wait_until
from ..infer.bundles import USERS, trained, write
from ..model.rows import SCHEMA, table
from .following import SERVING, expected

ROWS = table(USERS)


class Told:
    """A shadow, and what it told."""

    def __init__(self) -> None:
        self.compared: list[tuple[str, float]] = []
        self.left_out = Counter[str]()
        self.shadow = Shadow(
            lambda task, apart: self.compared.append((task, apart)),
            lambda why: self.left_out.update([why]),
        )

    def compare(self, served: Served, shadow: Served) -> None:
        answered = served.engine.submit(ROWS).result().scores
        self.shadow.compare(served, shadow, ROWS, answered)

    def until(self, compared: int = 0, left_out: int = 0) -> None:
        def done() -> bool:
            return (len(self.compared), self.left_out.total()) == (compared, left_out)

        wait_until(f"{compared} compared, {left_out} left out", done, seconds=30)


class Log(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def loaded(bundles: Path, weights: int = 0, **other: Any) -> Served:
    schema = other.get("schema", SCHEMA)
    manifest = write(bundles, trained("dlrm", weights, schema), "dlrm", **other)
    return load_served(bundles / manifest.version, SERVING)


def test_the_mean_distance_over_a_requests_candidates_is_told(tmp_path: Path) -> None:
    told = Told()
    told.compare(loaded(tmp_path), loaded(tmp_path, 1))
    told.until(compared=2)
    apart = np.abs(expected(0) - expected(1)).mean(axis=0)
    assert apart.min() > 1e-3
    assert [task for task, _ in told.compared] == ["click", "order"]
    np.testing.assert_allclose([of for _, of in told.compared], apart, rtol=1e-4)

    told.compare(loaded(tmp_path), loaded(tmp_path))
    told.until(compared=4)
    np.testing.assert_allclose([of for _, of in told.compared[2:]], 0, atol=1e-7)
    assert not told.left_out


def test_numbers_are_compared_by_parts_of_themselves() -> None:
    schema = Schema.model_validate(
        SCHEMA.model_dump(by_alias=True, exclude_unset=True)
        | {"tasks": {"click": {"label": "click"}, "watch": {"label": "w", "kind": "number"}}}
    )
    answered = [np.array([[0.25, 9.0]]), np.array([[0.5, 99.0], [0.5, 0.0]])]
    scored = [np.array([[0.5, 99.0]]), np.array([[0.25, 9.0], [0.75, 0.0]])]
    found = differences(answered, scored, schema)
    assert found == {"click": pytest.approx(0.25), "watch": pytest.approx(2 / 3 * np.log(10))}
    nobody = [np.empty((0, 2))]
    assert differences(nobody, nobody, schema) == {}


@pytest.mark.parametrize(
    "other",
    [
        {"schema": SCHEMA.model_copy(update={"name": "other"})},
        {"id_types": {"item_id": "string"}},
    ],
)
def test_one_that_reads_other_requests_is_not_asked(tmp_path: Path, other: dict[str, Any]) -> None:
    served, shadow, told = loaded(tmp_path), loaded(tmp_path, **other), Told()
    before = shadow.engine.counts().batches
    logger, log = logging.getLogger("ray.serve"), Log()
    logger.addHandler(log)
    try:
        for _ in range(3):
            told.compare(served, shadow)
    finally:
        logger.removeHandler(log)
    assert told.left_out == {OTHER_SCHEMA: 3}
    assert shadow.engine.counts().batches == before
    (once,) = log.said
    assert f"shadow {shadow.manifest.version}: {OTHER_SCHEMA}" in once


def test_of_many_at_once_some_are_left_out(tmp_path: Path) -> None:
    """As long as the shadow does not keep up; then it goes on."""
    served, shadow, told = loaded(tmp_path), loaded(tmp_path, 1), Told()
    go, whole = threading.Event(), shadow.engine.scorer.score

    def held(rows: Any) -> Scored:
        assert go.wait(30)
        return whole(rows)

    shadow.engine.scorer.score = held  # type: ignore[method-assign]
    for _ in range(AT_ONCE + 3):
        told.compare(served, shadow)
    assert told.left_out == {BUSY: 3}
    assert told.compared == []
    go.set()
    told.until(compared=2 * AT_ONCE, left_out=3)
    for _ in range(AT_ONCE):  # each place is free again
        told.compare(served, shadow)
    told.until(compared=4 * AT_ONCE, left_out=3)


def test_a_shadow_that_fails_is_counted_and_keeps_no_place(tmp_path: Path) -> None:
    """In scoring, in what it scores, and once it is closed."""
    served, shadow, told = loaded(tmp_path), loaded(tmp_path, 1), Told()
    whole = shadow.engine.scorer.score

    def failing(rows: Any) -> Scored:
        raise ValueError("no")

    def odd(rows: Any) -> Scored:
        found = whole(rows)
        return found._replace(scores=[p_CK * np.nan for p_CK in found.scores])

    for number in range(2 * (AT_ONCE + 1)):
        shadow.engine.scorer.score = failing if number % 2 else odd  # type: ignore[method-assign]
        told.compare(served, shadow)
        told.until(left_out=number + 1)
    assert set(told.left_out) == {FAULT}
    shadow.engine.scorer.score = whole  # type: ignore[method-assign]
    told.compare(served, shadow)
    told.until(compared=2, left_out=2 * (AT_ONCE + 1))
    shadow.engine.close()
    for _ in range(AT_ONCE + 1):
        told.compare(served, shadow)
    assert told.left_out == {FAULT: 3 * (AT_ONCE + 1)}
