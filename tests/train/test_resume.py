"""A run that loses a worker ends as if nothing had happened, bit for bit."""

import json
import os
import random
import re
import signal
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from rayrank.data.row_stats import read_stats
from rayrank.errors import TrainingError
from rayrank.schema import Schema
from rayrank.storage import AnyPath
from rayrank.train import checkpoint as ckpt
from rayrank.train.export import local_ranker
from rayrank.train.finished import CHECKPOINTS, FINISHED, JOURNAL
from rayrank.train.journal import read_story
from rayrank.train.run import train
from rayrank.train.watchdog import stacks_in
from rayrank.train.worker import WORKERS

from ..clusters import wait_until
from ..effort import ALL
from .checkpoints import rows_in
from .small import build_small, small_config


@dataclass(frozen=True)
class Training:
    """A training run under way, on the cluster that all tests share."""

    folder: Path
    ends: "Future[AnyPath]"
    said: list[str]

    def tells(self, what: str, happened: Callable[[], bool]) -> None:
        """Wait for something that it does before it ends."""
        wait_until(what, lambda: self.ends.done() or happened())
        assert not self.ends.done(), "it came too late to matter"

    def lose(self, rank: int) -> None:
        """Kill the process of one rank."""
        self.signal(rank, signal.SIGKILL)

    def signal(self, rank: int, what: int) -> None:
        """Send a signal to the process of one rank."""
        told = json.loads((self.folder / WORKERS / f"rank-{rank}.json").read_text())
        os.kill(told["pid"], what)

    def checkpoint(self) -> Path:
        return Path(str(self.ends.result(timeout=240)))


def start_training(rows: Path, folder: Path, **changed: object) -> Training:
    """Train on some rows to a folder, in a thread."""
    schema = Schema.model_validate_json((rows / "schema.json").read_text())
    config = small_config(folder, **changed).rankers["mtgr"]
    said: list[str] = []
    pool = ThreadPoolExecutor(1)
    name = f"{folder.name}-{len(changed)}"
    ends = pool.submit(train, schema, config, rows, folder, name=name, say=said.append)
    pool.shutdown(wait=False)
    return Training(folder, ends, said)


@pytest.fixture(scope="module")
def rows(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """User rows, with their schema; by it sequences are long, for stochastic length's sake."""
    folder = tmp_path_factory.mktemp("resume")
    schema = build_small(small_config(folder), folder / "rows")
    sequences = {n: s.model_copy(update={"keep": 8}) for n, s in schema.sequences.items()}
    told = schema.model_copy(update={"sequences": sequences}).model_dump_json()
    (folder / "rows" / "schema.json").write_text(told)
    return folder / "rows"


KILLS = 3 if ALL else 1
EPOCHS = 4 * KILLS
"""A dozen steps and more to each of them."""
EVERYTHING: dict[str, object] = {
    "accumulate": 3,
    "recompute": True,
    "stochastic_length": 1.2,
    "checkpoint_every": 5,
    "keep_best": True,
    "epochs": EPOCHS,
    "tables": {
        "budget": 150,
        "evict": "least_frequent",
        "half_life": 7,
        "admit_after": 2,
        "time_to_live": 12,
    },
}


def test_killed_workers(rows: Path, tmp_path: Path) -> None:
    """At any step, either of them, three times in the long form: with gradients that are added up,
    layers that are computed again, sequences seen in part, tables that let ids go and checkpoints
    that are written beside training."""
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    training = start_training(rows, disturbed, **EVERYTHING)
    draw = random.Random()
    kills = [(draw.randrange(8, 14) + 12 * n, draw.randrange(2)) for n in range(KILLS)]
    for attempt, (step, rank) in enumerate(kills, 1):
        training.tells(
            f"step {step} of attempt {attempt} ({kills})",
            lambda step=step, attempt=attempt: any(  # type: ignore[misc]
                line.step >= step and line.attempt == attempt
                for line in read_story(disturbed / JOURNAL).steps
            ),
        )
        training.lose(rank)
    resumed, said = training.checkpoint(), training.said
    whole = start_training(rows, undisturbed, **EVERYTHING).checkpoint()

    assert "".join(said).count("lost the worker of rank") == KILLS
    assert f"({KILLS} of 3 allowed): going on from its checkpoint" in "".join(said)
    story, expected = read_story(disturbed / JOURNAL), read_story(undisturbed / JOURNAL)
    assert story.steps[-1].attempt == KILLS + 1
    of_tables = ("ids of tables begin to go", "tables in this epoch")
    assert all(note.text.startswith(of_tables) for note in expected.notes)
    resumes = [note for note in story.notes if not note.text.startswith(of_tables)]
    assert len(resumes) == KILLS
    for attempt, note in enumerate(resumes, 2):
        told = re.fullmatch(rf"attempt {attempt} goes on from step-(\d+)\.\d+", note.text)
        assert told, note.text
        assert int(told[1]) % 5 == 0 or int(told[1]) in [line.step for line in story.epochs]
    assert [line.step for line in story.steps] == [line.step for line in expected.steps]
    assert [line.loss for line in story.steps] == [line.loss for line in expected.steps], kills
    assert story.epochs == expected.epochs
    held = [[of["ids"] for of in line.tables.values()] for line in expected.steps]
    assert [[of["ids"] for of in line.tables.values()] for line in story.steps] == held
    assert (
        sum(of["evicted"] for line in expected.steps for of in line.tables.values()) > 25 * EPOCHS
    )
    # Sequences are seen in part: not the same tokens every epoch.
    epochs = [sum(line.tokens for line in story.steps if line.epoch == e) for e in range(EPOCHS)]
    assert len(set(epochs)) > EPOCHS // 2
    assert [line.batches for line in story.steps] == [line.batches for line in expected.steps]
    assert story.steps[-1].batches == story.steps[-1].of
    assert sum(line.users for line in story.steps) == EPOCHS * rows_to_train(rows)
    assert resumed.name.split(".")[0] == whole.name.split(".")[0]
    assert_same_state(resumed, whole)


def test_a_killed_worker_that_held_a_share_of_the_dense_part(rows: Path, tmp_path: Path) -> None:
    """Checkpoints hold it whole: what trained is read by who knows nothing of shares."""
    told: dict[str, object] = {
        "dense": "sharded",
        "accumulate": 2,
        "recompute": True,
        "checkpoint_every": 5,
    }
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    training = start_training(rows, disturbed, epochs=4, **told)
    training.tells(
        "step 8", lambda: any(line.step >= 8 for line in read_story(disturbed / JOURNAL).steps)
    )
    training.lose(random.randrange(2))
    resumed = training.checkpoint()
    whole = start_training(rows, undisturbed, epochs=4, **told).checkpoint()

    story, expected = read_story(disturbed / JOURNAL), read_story(undisturbed / JOURNAL)
    assert {line.attempt for line in story.steps} == {1, 2}
    assert [line.loss for line in story.steps] == [line.loss for line in expected.steps]
    assert story.epochs == expected.epochs
    assert_same_state(resumed, whole)
    schema = Schema.model_validate_json((rows / "schema.json").read_text())
    ranker = local_ranker(small_config(disturbed).rankers["mtgr"], schema, resumed)
    dense, _ = ckpt.read_dense(resumed)
    assert {name: value.shape for name, value in ranker.dense_state().items()} == {
        name: value.shape for name, value in dense.items()
    }


def test_a_worker_that_hangs_is_replaced_and_seen(rows: Path, tmp_path: Path) -> None:
    """It is stopped and says nothing; the other one, which waits for it, says where it waits."""
    folder = tmp_path / "hangs"
    training = start_training(rows, folder, hangs_after_s=5.0, epochs=4)
    training.tells("a checkpoint", lambda: ckpt.complete(folder / CHECKPOINTS) != [])
    training.signal(1, signal.SIGSTOP)
    training.checkpoint()
    (stack,) = stacks_in(folder)
    assert stack.name == "attempt-000001-rank-0.txt"
    assert "all_reduce" in stack.read_text() or "optimize.py" in stack.read_text()
    told = "".join(training.said)
    assert f"no step for 5 s: what a worker was doing stands in {stack}" in told
    assert "(1 of 3 allowed): going on from its checkpoint" in told
    assert {line.attempt for line in read_story(folder / JOURNAL).steps} == {1, 2}


def rows_to_train(rows: Path) -> int:
    return read_stats(rows).rows_of_split[0]


def assert_same_state(one: Path, other: Path) -> None:
    """Bit for bit: weights, AdamW's state, tables and all that is kept of their ids, rank by rank
    and row by row."""
    for a, b in zip(ckpt.read_dense(one), ckpt.read_dense(other), strict=True):
        assert a.keys() == b.keys()
        for name in a:
            assert torch.equal(a[name], b[name]), name
    states = ckpt.read_state(one), ckpt.read_state(other)
    assert states[0].table_steps == states[1].table_steps > 0
    assert states[0].position.world_size == states[1].position.world_size
    for rank in range(states[0].position.world_size):
        tables, same = rows_in(one, [rank]), rows_in(other, [rank])
        assert tables.keys() == same.keys()
        for name, rows in tables.items():
            for field, value in vars(rows).items():
                assert torch.equal(value, getattr(same[name], field)), (rank, name, field)
        (aside,), (same_aside,) = ckpt.read_aside(one, [rank]), ckpt.read_aside(other, [rank])
        assert aside.keys() == same_aside.keys()
        assert all(torch.equal(aside[name], same_aside[name]) for name in aside)


def test_resume_on_one_worker(rows: Path, tmp_path: Path) -> None:
    """A run begun by two workers and ended by one trains every user row once per epoch."""
    folder = tmp_path / "mtgr"
    told: dict[str, object] = {"max_failures": 0, "epochs": 4}
    training = start_training(rows, folder, **told)
    training.tells("a checkpoint", lambda: ckpt.complete(folder / CHECKPOINTS) != [])
    training.lose(rank=0)
    with pytest.raises(TrainingError, match="lost the worker of rank"):
        training.checkpoint()

    last = start_training(rows, folder, **told, workers=1).checkpoint()
    assert ckpt.read_state(last).position.world_size == 1
    steps = read_story(folder / JOURNAL).steps
    assert {line.attempt for line in steps} == {1, 2}
    assert sum(line.users for line in steps) == 4 * rows_to_train(rows)

    # Cut after its last checkpoint, before it could say that it has finished.
    (folder / FINISHED).unlink()
    assert start_training(rows, folder, **told, workers=1).checkpoint() == last
