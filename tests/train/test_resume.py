"""A run that loses a worker ends as if nothing had happened, bit for bit."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rayrank.data.row_stats import read_stats
from rayrank.train import checkpoint as ckpt
from rayrank.train.finished import CHECKPOINTS, JOURNAL
from rayrank.train.journal import read_story
from rayrank.train.worker import WORKERS

from ..clusters import ROOT, wait_until
from .small import EPOCHS, build_small, small_config

SCRIPT = """
import logging, sys
from pathlib import Path
import ray
from rayrank.schema import Schema
from rayrank.train.config import RankerConfig
from rayrank.train.run import train

rows, told, folder = (Path(argument) for argument in sys.argv[1:])
schema = Schema.model_validate_json((rows / "schema.json").read_text())
config = RankerConfig.model_validate_json(told.read_text())
ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False, logging_level=logging.ERROR)
print(train(schema, config, rows, folder, name="resume", say=print))
"""


def start_training(rows: Path, folder: Path, **train: object) -> "subprocess.Popen[str]":
    """Train on some rows to a folder, in a process and on a Ray of its own."""
    told = folder.with_suffix(".json")
    told.write_text(small_config(folder, **train).rankers["mtgr"].model_dump_json())
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(rows), str(told), str(folder)],
        cwd=ROOT,
        text=True,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def finish(process: "subprocess.Popen[str]") -> list[str]:
    """What a training run said; its last checkpoint is the last line."""
    said, _ = process.communicate(timeout=240)
    assert process.returncode == 0, said
    return said.strip().splitlines()


@pytest.fixture(scope="module")
def rows(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """User rows, with their schema."""
    folder = tmp_path_factory.mktemp("resume")
    schema = build_small(small_config(folder), folder / "rows")
    (folder / "rows" / "schema.json").write_text(schema.model_dump_json())
    return folder / "rows"


def test_killed_worker(rows: Path, tmp_path: Path) -> None:
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    process = start_training(rows, disturbed)
    wait_until(
        "steps beyond a checkpoint",
        lambda: (
            process.poll() is not None
            or any(line.step >= 25 for line in read_story(disturbed / JOURNAL).steps)
        ),
    )
    assert process.poll() is None, process.communicate()[0]
    victim = json.loads((disturbed / WORKERS / "rank-1.json").read_text())
    os.kill(victim["pid"], signal.SIGKILL)
    said = finish(process)
    whole = finish(start_training(rows, undisturbed))

    assert "lost the worker of rank" in "".join(said)
    assert "(1 of 3 allowed): going on from its checkpoint" in "".join(said)
    story, expected = read_story(disturbed / JOURNAL), read_story(undisturbed / JOURNAL)
    assert {line.attempt for line in story.steps} == {1, 2}, "the kill came too late to matter"
    assert [note.text for note in expected.notes] == []
    (note,) = story.notes
    first = next(line.step for line in story.steps if line.attempt == 2)
    assert note.text == f"attempt 2 goes on from step-{first - 1:08d}.000001"
    assert [line.step for line in story.steps] == [line.step for line in expected.steps]
    assert [line.loss for line in story.steps] == [line.loss for line in expected.steps]
    assert story.epochs == expected.epochs
    assert [line.batches for line in story.steps] == [line.batches for line in expected.steps]
    assert story.steps[-1].batches == story.steps[-1].of
    assert sum(line.users for line in story.steps) == EPOCHS * rows_to_train(rows)
    assert_same_state(Path(said[-1]), Path(whole[-1]))


def rows_to_train(rows: Path) -> int:
    return read_stats(rows).rows_of_split[0]


def assert_same_state(one: Path, other: Path) -> None:
    """Bit for bit: weights, AdamW's state, tables and their optimizer's state."""
    for a, b in zip(ckpt.read_dense(one), ckpt.read_dense(other), strict=True):
        assert a.keys() == b.keys()
        for name in a:
            assert torch.equal(a[name], b[name]), name
    tables, same = ckpt.read_rows(one), ckpt.read_rows(other)
    for name, parts in tables.items():
        for part, twin in zip(parts, same[name], strict=True):
            for field, value in vars(part).items():
                assert torch.equal(value, getattr(twin, field)), (name, field)


def test_resume_on_one_worker(rows: Path, tmp_path: Path) -> None:
    """A run begun by two workers and ended by one trains every user row once per epoch."""
    folder = tmp_path / "mtgr"
    process = start_training(rows, folder, max_failures=0)
    wait_until(
        "a checkpoint",
        lambda: process.poll() is not None or ckpt.complete(folder / CHECKPOINTS) != [],
    )
    process.kill()
    process.wait()
    assert ckpt.complete(folder / CHECKPOINTS)

    said = finish(start_training(rows, folder, max_failures=0, workers=1))
    assert ckpt.read_position(Path(said[-1])).world_size == 1
    steps = read_story(folder / JOURNAL).steps
    assert {line.attempt for line in steps} == {1, 2}, "the kill came too late to matter"
    assert sum(line.users for line in steps) == EPOCHS * rows_to_train(rows)
