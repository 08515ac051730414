"""User rows to score: those that the log would train on, of which no label need be known."""

from datetime import date
from pathlib import Path

import pytest
from rayrank.data.build import build, build_to_score, check_to_score
from rayrank.data.config import DataConfig
from rayrank.data.ids import IdTypes
from rayrank.errors import DataError

from .builds import LOG, SCHEMA, content
from .logs import DAY, HOUR, START, TYPES, Records, shown, write

pytestmark = pytest.mark.usefixtures("ray_cluster")


def test_a_log_to_score_makes_the_rows_it_would_train_on(tmp_path: Path) -> None:
    """Of a schema that no split cuts: all of them, and those of the last day."""
    log = write(tmp_path / "log", {name: LOG.table(name) for name in TYPES}, files=2)
    whole = DataConfig.model_validate(
        {"source": "parquet", "path": "unused", "partitions": 3, "split": {"test": 0}}
    )
    build(log, SCHEMA, tmp_path / "rows", whole, lambda done, of: None)
    expected = content(tmp_path / "rows")["train"]
    told: list[str] = []
    stats = build_to_score(log, SCHEMA, tmp_path / "all", None, lambda done, of: None, told.append)
    assert content(tmp_path / "all")["train"] == expected
    assert (stats.rows, stats.exposures) == (len(expected), len(LOG.exposures))
    assert len(told) == 1  # the events that belong to no exposure
    last = date(2022, 4, 18)
    late = [row for row in expected if row["window_start"] >= START + 2 * DAY]
    stats = build_to_score(log, SCHEMA, tmp_path / "late", last, lambda done, of: None, told.append)
    assert content(tmp_path / "late")["train"] == late
    assert 0 < stats.rows == len(late) < len(expected)
    with pytest.raises(DataError, match=r"nothing to score since 2022-04-19: .* on 2022-04-18"):
        build_to_score(log, SCHEMA, tmp_path / "no", date(2022, 4, 19), lambda done, of: None)


def test_a_log_to_score_needs_no_label_that_is_known(tmp_path: Path) -> None:
    shows = [shown(1, 1, START, click=None), shown(1, 1, START + HOUR, click=None)]
    records = Records(shows, users=LOG.users, items=LOG.items)
    log = write(tmp_path / "log", {name: records.table(name) for name in TYPES})
    check_to_score(log, SCHEMA, dict.fromkeys(SCHEMA.features, "integer"))
    build_to_score(log, SCHEMA, tmp_path / "rows", None, lambda done, of: None)
    (row,) = content(tmp_path / "rows")["train"]
    assert row["labels"] == {"click": [None, None], "order": [None, None]}


def test_a_log_to_score_has_ids_that_the_ranker_knows(tmp_path: Path) -> None:
    log = write(tmp_path / "log", {name: LOG.table(name) for name in TYPES})
    learned: IdTypes = dict.fromkeys(SCHEMA.features, "integer")
    with pytest.raises(DataError, match=r"items.parquet: column 'tags': its ids are of type int"):
        check_to_score(log, SCHEMA, learned | {"tags": "string"})
    (tmp_path / "log" / "events.parquet").unlink()
    with pytest.raises(DataError, match=r"expected events.parquet or events/"):
        check_to_score(log, SCHEMA, learned)
