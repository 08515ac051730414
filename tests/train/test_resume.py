"""A run that loses a worker ends as if nothing had happened, bit for bit."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rayrank.storage import sha256
from rayrank.train import checkpoint as ckpt
from rayrank.train.progress import STEPS, read_progress
from rayrank.train.worker import WORKERS

from ..clusters import ROOT, wait_until
from .small import EPOCHS, build_small, small_config

SCRIPT = """
import logging, sys
from pathlib import Path
import ray
from rayrank.run.config import RunConfig
from rayrank.data.source import open_log
from rayrank.train.run import train

run_dir = Path(sys.argv[1])
config = RunConfig.model_validate_json((run_dir / "config.json").read_text())
ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False, logging_level=logging.ERROR)
_, schema = open_log(config.data, run_dir)
print(train(schema, config.rankers["mtgr"], run_dir / "rows", run_dir / "rankers" / "mtgr"))
"""


def start_training(run_dir: Path) -> "subprocess.Popen[str]":
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(run_dir)],
        cwd=ROOT,
        text=True,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def finish(process: "subprocess.Popen[str]") -> Path:
    said, _ = process.communicate(timeout=240)
    assert process.returncode == 0, said
    return Path(said.strip().splitlines()[-1])


@pytest.fixture(scope="module")
def prepared(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory with user rows and a config, nothing trained."""
    run_dir = tmp_path_factory.mktemp("resume") / "run"
    config = small_config(run_dir)
    build_small(config)
    (run_dir / "config.json").write_text(config.model_dump_json())
    return run_dir


def test_killed_worker(prepared: Path, tmp_path: Path) -> None:
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    for run_dir in (undisturbed, disturbed):
        shutil.copytree(prepared, run_dir)
        content = json.loads((run_dir / "config.json").read_text())
        (run_dir / "config.json").write_text(json.dumps(content | {"run_dir": str(run_dir)}))

    process = start_training(disturbed)
    folder = disturbed / "rankers" / "mtgr"
    wait_until(
        "steps beyond a checkpoint",
        lambda: (
            process.poll() is not None
            or any(step["step"] >= 25 for step in read_progress(folder / STEPS))
        ),
    )
    assert process.poll() is None, process.communicate()[0]
    victim = json.loads((folder / WORKERS / "rank-1.json").read_text())
    os.kill(victim["pid"], signal.SIGKILL)
    resumed = finish(process)
    whole = finish(start_training(undisturbed))

    steps = read_progress(folder / STEPS)
    assert {step["attempt"] for step in steps} == {1, 2}, "the kill came too late to matter"
    expected = read_progress(undisturbed / "rankers" / "mtgr" / STEPS)
    assert [s["step"] for s in steps] == [s["step"] for s in expected]
    assert [s["loss"] for s in steps] == [s["loss"] for s in expected]
    assert sum(s["users"] for s in steps) == EPOCHS * rows_to_train(prepared)
    assert_same_state(resumed, whole)


def rows_to_train(run_dir: Path) -> int:
    return json.loads((run_dir / "rows" / "stats.json").read_text())["rows_of_split"][0]


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


def test_resume_on_one_worker(prepared: Path, tmp_path: Path) -> None:
    """A run begun by two workers and ended by one trains every user row once per epoch."""
    run_dir = tmp_path / "run"
    shutil.copytree(prepared, run_dir)
    config = small_config(run_dir, max_failures=0)
    (run_dir / "config.json").write_text(config.model_dump_json())
    process = start_training(run_dir)
    folder = run_dir / "rankers" / "mtgr"
    wait_until(
        "a checkpoint",
        lambda: process.poll() is not None or ckpt.latest(folder / "checkpoints") is not None,
    )
    process.kill()
    process.wait()
    before = ckpt.latest(folder / "checkpoints")
    assert before is not None

    alone = small_config(run_dir, max_failures=0, workers=1)
    (run_dir / "config.json").write_text(alone.model_dump_json())
    last = finish(start_training(run_dir))
    assert ckpt.read_position(last).world_size == 1
    steps = read_progress(folder / STEPS)
    assert sum(s["users"] for s in steps) == EPOCHS * rows_to_train(prepared)


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    checkpoint = tmp_path / "step-00000001"
    checkpoint.mkdir()
    (checkpoint / "dense.safetensors").write_bytes(b"as written")
    (checkpoint / ckpt.MANIFEST).write_text(
        json.dumps({"dense.safetensors": sha256(checkpoint / "dense.safetensors")})
    )
    ckpt.verify(checkpoint)
    (checkpoint / "dense.safetensors").write_bytes(b"something else")
    with pytest.raises(Exception, match=r"dense\.safetensors"):
        ckpt.verify(checkpoint)
