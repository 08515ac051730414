"""What is not finite ends a run at once, by name, and takes no checkpoint with it."""

import json
import math
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from rayrank.data.row_stats import STATS, RowStats
from rayrank.errors import TrainingError
from rayrank.train import checkpoint as ckpt
from rayrank.train.finished import CHECKPOINTS, FINISHED
from rayrank.train.finite import SAVED
from rayrank.train.run import train

from ..model.rows import SCHEMA, table
from .worlds import VALID, ranker_config, user

SHOWN = [1, 2, 3, 4, 5, 6]


def rows_in(folder: Path, poisoned: bool) -> Path:
    """User rows of one batch each; of one of them, where that is asked, a number is NaN."""
    users = [user(40 + shown, shown) for shown in SHOWN]
    if poisoned:
        users[3].candidates[0]["distance"] = math.nan
    for split, rows in (("train", users), ("valid", VALID)):
        day = folder / split / "2022-04-16"
        day.mkdir(parents=True)
        pq.write_table(table(rows), day / "part.parquet")
    (folder / STATS).write_text(json.dumps(RowStats().to_json()))
    return folder


def failing(work: Path, *, poisoned: bool, rate: float = 0.05) -> str:
    """What is said of a run that does not end well; every checkpoint that it left is finite."""
    config = ranker_config(
        epochs=2,
        max_cost=1,
        learning_rate=rate,
        table_learning_rate=rate,
        checkpoint_every=1,
        keep_checkpoints=2,
        max_failures=0,
    )
    rows = rows_in(work / "rows", poisoned)
    with pytest.raises(TrainingError) as caught:
        train(SCHEMA, config, rows, work / "run", name="finite", say=lambda text: None)
    assert not (work / "run" / FINISHED).exists()
    for checkpoint in ckpt.complete(work / "run" / CHECKPOINTS):
        ckpt.verify(checkpoint)
        dense, _ = ckpt.read_dense(checkpoint)
        vectors = [rows.vectors for rows in ckpt.read_rows(checkpoint).values()]
        bounds = (".low", ".high")  # of numbers: infinite where the rows have none
        weights = [value for name, value in dense.items() if not name.endswith(bounds)]
        assert all(torch.isfinite(value).all() for value in [*weights, *vectors])
    return str(caught.value)


def test_a_number_that_is_none_is_found_with_its_user(ray_cluster: None, tmp_path: Path) -> None:
    said = failing(tmp_path, poisoned=True)
    (saved,) = (tmp_path / "run" / SAVED).iterdir()
    found = pq.read_table(saved)
    assert len(found) == 1
    (name,) = found["user"].to_pylist()
    assert math.isnan(found["candidates"][0].as_py()["distance"][0])
    assert "the loss is not finite" in said
    assert f"1 users ({name}), saved as {saved}" in said


def test_a_rate_that_is_too_high_ends_before_it_is_saved(ray_cluster: None, tmp_path: Path) -> None:
    said = failing(tmp_path, poisoned=False, rate=1e12)
    assert "not finite" in said
    assert "are kept" in said
