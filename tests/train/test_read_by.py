"""A run whose rows Ray Data reads is the run whose worker reads them, bit for bit."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rayrank.data import plan
from rayrank.data.row_stats import STATS, RowStats
from rayrank.train.config import TrainConfig
from rayrank.train.finished import JOURNAL
from rayrank.train.journal import read_story
from rayrank.train.resources import reading_lacks
from rayrank.train.run import train

from ..model.rows import SCHEMA, table
from .test_resume import assert_same_state
from .worlds import VALID, ranker_config, user

pytestmark = pytest.mark.usefixtures("ray_cluster")


def test_the_same_ranker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One worker: the cluster's other CPU reads."""
    monkeypatch.setattr(plan, "BUCKET_ROWS", 2)  # several buckets
    for split, rows in (("train", [user(40 + n, 1 + n % 3) for n in range(9)]), ("valid", VALID)):
        day = tmp_path / "rows" / split / "2022-04-16"
        day.mkdir(parents=True)
        pq.write_table(table(rows), day / "part.parquet", row_group_size=1)
    (tmp_path / "rows" / STATS).write_text(json.dumps(RowStats().to_json()))
    lasts, losses = [], []
    for read_by in ("workers", "cluster"):
        config = ranker_config(
            workers=1, epochs=2, max_cost=1, accumulate=2, max_failures=0, read_by=read_by
        )
        said: list[str] = []
        folder = tmp_path / read_by
        lasts.append(
            train(SCHEMA, config, tmp_path / "rows", folder, name=read_by, say=said.append)
        )
        assert len(said) == 1, "that rows cost more than a batch may, and nothing else"
        losses.append([step.loss for step in read_story(folder / JOURNAL).steps])
    assert len(losses[0]) > 4
    assert losses[0] == losses[1]
    assert_same_state(Path(str(lasts[0])), Path(str(lasts[1])))


def test_nobody_who_could_read_is_said() -> None:
    assert reading_lacks(TrainConfig(workers=2)) is None
    assert reading_lacks(TrainConfig(workers=1, read_by="cluster")) is None
    assert reading_lacks(TrainConfig(workers=1, use_gpu=True, read_by="cluster")) is None
    lacks = reading_lacks(TrainConfig(workers=2, read_by="cluster"))
    assert lacks is not None
    assert "no CPU that could read" in lacks
