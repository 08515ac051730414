"""A whole run on Ray Train, seen from outside: a checkpoint of every step tells what it did."""

import json
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from rayrank.data.planned import PlannedBatches
from rayrank.data.row_stats import STATS, RowStats
from rayrank.train import checkpoint as ckpt
from rayrank.train.finished import BATCHES, CHECKPOINTS, EVENTS, JOURNAL
from rayrank.train.journal import read_story
from rayrank.train.run import train

from ..model.rows import SCHEMA, table
from .test_events import shown
from .worlds import VALID, ranker_config, user

SHOWN = [1, 2, 3, 4, 5]
RATE = 0.05
Rows = dict[tuple[str, int], tuple[torch.Tensor, float]]


@pytest.fixture(scope="module")
def folder(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs by two workers, over five batches of one user each."""
    work = tmp_path_factory.mktemp("loop")
    users = [user(40 + shown, shown) for shown in SHOWN]
    for split, rows in (("train", users), ("valid", VALID)):
        day = work / "rows" / split / "2022-04-16"
        day.mkdir(parents=True)
        pq.write_table(table(rows), day / "part.parquet")
    (work / "rows" / STATS).write_text(json.dumps(RowStats().to_json()))
    config = ranker_config(
        epochs=2,
        max_cost=1,
        table_learning_rate=RATE,
        warmup_steps=1,
        final_rate=0.5,
        checkpoint_every=1,
        keep_checkpoints=10,
        max_failures=0,
    )
    said: list[str] = []
    last = train(SCHEMA, config, work / "rows", work / "run", name="loop", say=said.append)
    assert said == [
        f"5 rows cost more than train.max_cost (1), the dearest {dearest(work / 'run')}: each is a "
        "batch of its own, and other workers wait for it"
    ]
    assert last == checkpoints(work / "run")[-1]
    return work / "run"


def dearest(folder: Path) -> str:
    """What the plan says of its dearest batch."""
    batches = PlannedBatches(folder.parent / "rows" / "train", folder / BATCHES, 0)
    return f"{max(batches.cost(n) for n in range(len(batches))):,.0f}"


def checkpoints(folder: Path) -> list[Path]:
    return sorted((folder / CHECKPOINTS).iterdir())


def rows_of(checkpoint: Path) -> Rows:
    """(table, key) -> what was learned, and the squares so far, in float64."""
    return {
        (name, key): (vector, squares)
        for name, rows in ckpt.read_rows(checkpoint).items()
        for key, vector, squares in zip(
            rows.keys.tolist(), rows.vectors.double(), rows.momentum.tolist(), strict=True
        )
    }


def test_every_step_knows_its_place(folder: Path) -> None:
    """An epoch is three steps: two batches, two, and one for rank 0 alone."""
    positions = [ckpt.read_state(path).position for path in checkpoints(folder)]
    assert [(p.epoch, p.batches, p.step) for p in positions] == [
        (0, 2, 1),
        (0, 4, 2),
        (1, 0, 3),  # after the epoch's validation, in the place of (0, 5, 3)
        (1, 2, 4),
        (1, 4, 5),
        (2, 0, 6),  # the end, in the place of (1, 5, 6)
    ]
    assert {(p.world_size, p.attempt) for p in positions} == {(2, 1)}


def test_every_step_has_the_rate_of_its_place(folder: Path) -> None:
    """Row-wise Adagrad moves a row by the rate x root of (its new squares / all its squares)."""
    before: Rows = {}
    # One step of warm-up; then from 1 to a half over ten batches, of which so many were done.
    rates = [0.5] + [1 - 0.5 * done / 10 for done in (2, 4, 5, 7, 9)]
    for rate, checkpoint in zip(rates, checkpoints(folder), strict=True):
        after, found = rows_of(checkpoint), []
        for row, (vector, squares) in after.items():
            old, old_squares = before.get(row, (torch.zeros_like(vector), 0.0))
            new = squares - old_squares
            if new > 0.01 * squares:  # else the difference is mostly rounding
                moved = float((vector - old).square().mean().sqrt())
                found.append(moved * (squares / new) ** 0.5)
        assert len(found) > 5
        assert found == pytest.approx([RATE * rate] * len(found), rel=1e-3)
        before = after


def test_every_step_and_epoch_is_told(folder: Path) -> None:
    steps = read_story(folder / JOURNAL).steps
    assert [(s.step, s.epoch, s.batches, s.of) for s in steps] == [
        (1, 0, 2, 10),
        (2, 0, 4, 10),
        (3, 0, 5, 10),
        (4, 1, 7, 10),
        (5, 1, 9, 10),
        (6, 1, 10, 10),
    ]
    for epoch in (steps[:3], steps[3:]):
        assert [s.users for s in epoch] == [2, 2, 1]
        assert sum(s.candidates for s in epoch) == sum(SHOWN)
    epochs = read_story(folder / JOURNAL).epochs
    assert [(e.epoch, e.step) for e in epochs] == [(0, 3), (1, 6)]
    for told in epochs:
        assert told.metrics.keys() == SCHEMA.tasks.keys()
        assert all(0 < m < 1 for task in told.metrics.values() for m in task.values())
    assert epochs[0].metrics != epochs[1].metrics
    assert read_story(folder / JOURNAL).notes == []


def test_every_step_tells_where_its_time_went(folder: Path) -> None:
    """A checkpoint's time is told with the step after it."""
    steps = read_story(folder / JOURNAL).steps
    always = {"waiting", "forward", "totals", "backward", "update", "telling"}
    assert [set(s.phases) - always for s in steps] == [set()] + [{"saving"}] * 5
    for step in steps:
        assert always <= step.phases.keys()
        assert step.phases["waiting"] >= step.waited_s >= 0


def test_every_step_tells_its_work(folder: Path) -> None:
    steps = read_story(folder / JOURNAL).steps
    for step in steps:
        assert step.flops is not None
        assert step.flops > 3 * 4 * step.tokens * 32**2  # keys and values alone
        assert step.balance is not None
        assert 1 <= step.balance <= 2
        assert step.mfu is None
    assert [step.balance for step in steps if step.users == 1] == [2.0, 2.0]
    assert all(0 <= auc <= 1 for step in steps for auc in step.auc.values())
    assert steps[-1].auc.keys() == SCHEMA.tasks.keys()
    curves = [shown(folder / EVENTS, tag) for tag in ("loss", "speed/balance")]
    assert [[step for step, _ in curve] for curve in curves] == [[1, 2, 3, 4, 5, 6]] * 2


def test_epochs_order_their_batches_anew(folder: Path) -> None:
    candidates = [s.candidates for s in read_story(folder / JOURNAL).steps]
    assert candidates[:3] != candidates[3:]


def test_every_step_changed_every_part(folder: Path) -> None:
    for one, other in pairwise(checkpoints(folder)):
        dense, later = ckpt.read_dense(one)[0], ckpt.read_dense(other)[0]
        moved = {name for name in dense if not torch.equal(dense[name], later[name])}
        # All but the scales of numbers, which the rows' statistics fix.
        assert {name for name in dense if name not in moved} == {
            f"tokenizer.{token}.{which}"
            for token in ("profile", "behaviours.views", "behaviours.buys", "candidate")
            for which in ("mean", "std", "low", "high")
        }
