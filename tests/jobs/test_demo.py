"""The demo from end to end on an object store, killed in training and run again; then the endpoint
that `make serve` keeps up."""

import json
import os
import re
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest
from rayrank.run.folder import RunFolder
from rayrank.run.summary import Summary
from rayrank.storage import files_in
from rayrank.train.finished import JOURNAL
from rayrank.train.journal import Story, read_story

from ..clusters import MARK, QUICK_TRAIN, ROOT, kill_marked, marked, said_by, wait_until

COMMAND = [
    *(sys.executable, str(ROOT / "jobs" / "demo.py"), "data.simulate.users=120"),
    *("data.simulate.days=5", "evaluate.bootstrap_samples=10"),
    # Over a hundred steps: a process that is to be killed must still be at it.
    "rankers={mtgr: {model: {kind: mtgr}, train: {max_cost: 120, checkpoint_every: 10}}}",
]


@dataclass(frozen=True)
class Demo:
    folder: RunFolder
    work: Path
    """Where it was run, and where it leaves what belongs to this machine."""
    said: str
    before: Story
    """What the first, killed, process had told of MTGR's training."""
    environment: dict[str, str]

    @property
    def summary(self) -> Summary:
        return Summary.model_validate_json(self.folder.summary.read_text())

    def story(self) -> Story:
        return story_of(self.folder)


def story_of(folder: RunFolder) -> Story:
    versions = files_in(folder.ranker("mtgr"), "*")
    return read_story(versions[0] / JOURNAL) if versions else Story([], [], [])


@pytest.fixture(scope="module")
def demo(s3_bucket: str, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """A Ray of its own each time: what is tried is that all of it may die."""
    work = tmp_path_factory.mktemp("demo")
    folder = RunFolder(f"{s3_bucket}/run")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "RAYRANK_"))}
    environment = inherited | QUICK_TRAIN | {MARK: uuid.uuid4().hex}
    command = [*COMMAND, f"run_dir={folder}"]
    first = subprocess.Popen(
        command, cwd=work, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
    )
    wait_until(
        "training is beyond a checkpoint",
        lambda: first.poll() is not None or len(story_of(folder).steps) > 25,
    )
    assert first.poll() is None
    kill_marked(environment[MARK])
    first.wait()
    before = story_of(folder)
    return Demo(folder, work, said_by(command, environment, work), before, environment)


def test_a_killed_demo_goes_on_where_it_was(demo: Demo) -> None:
    assert "complete already" in demo.said  # the rows
    assert re.search(r"training mtgr: attempt 2 goes on from step-\d+\.000001", demo.said)
    steps = demo.story().steps
    assert [line.step for line in steps] == list(range(1, len(steps) + 1))
    assert steps[-1].batches == steps[-1].of
    resumed = next(line.step for line in steps if line.attempt == 2)
    kept = resumed - 1
    assert kept >= 10
    assert kept % 10 == 0
    assert steps[:kept] == demo.before.steps[:kept]


def test_summary(demo: Demo) -> None:
    summary = demo.summary
    data, training, served = summary.data, summary.train["mtgr"], summary.serve
    assert data.exposures > data.user_rows > 100
    assert data.compression == pytest.approx(data.exposures / data.user_rows)
    assert data.tokens > data.exposures
    steps = demo.story().steps[-1].step
    assert (training.workers, training.steps, training.tokens_per_s > 0) == (2, steps, True)
    found = summary.evaluation
    assert list(found.everyone) == ["mtgr", "item_rate", "lightgbm", "oracle"]
    for quality in found.everyone.values():
        for task in ("click", "order"):
            assert 0 < quality[task]["auc"].value < 1
            assert 0 < quality[task]["gauc"].value < 1
    assert served.requests > 50
    assert 0 < served.p50_ms <= served.p99_ms
    assert served.max_abs_diff <= 0.006
    assert set(summary.seconds) == {"build", "train", "eval", "export", "check"}


def test_what_a_person_sees(demo: Demo) -> None:
    assert re.search(r"Ray dashboard  http://\S+   token  in \S+", demo.said)
    token = Path.home() / ".ray" / "auth_token"
    assert token.read_text().strip() not in demo.said  # this is no terminal
    for said in (f"make serve RUN_DIR={demo.folder}", str(demo.folder.report)):
        assert said in demo.said.replace("\n", "")
    for chatter in ("INFO", "WARNING", "torchrec", "(raylet)", "core_worker"):
        assert chatter not in demo.said
    assert "<html" in demo.folder.report.read_text()


def test_no_process_is_left(demo: Demo) -> None:
    wait_until("no process is left", lambda: not marked(demo.environment[MARK]))


def test_serve_prints_a_curl_line_that_works_and_ends_when_told(demo: Demo) -> None:
    said = demo.work / "said"
    with said.open("w") as file:
        serving = subprocess.Popen(
            [sys.executable, ROOT / "jobs" / "serve.py", "--run-dir", str(demo.folder)],
            cwd=demo.work,
            env=demo.environment,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(
            "it says how to ask", lambda: serving.poll() is not None or "curl" in said.read_text()
        )
        assert serving.poll() is None, said.read_text()
        line = next(line for line in said.read_text().splitlines() if "curl" in line)
        answer = subprocess.run(
            ["bash", "-c", line.strip()], cwd=demo.work, capture_output=True, text=True, check=True
        )
        scores = json.loads(answer.stdout)["scores"]
        assert len(scores["click"]) == len(scores["order"]) > 0
    finally:
        serving.terminate()
        serving.wait(60)
    assert serving.returncode == 0, said.read_text()
    wait_until("no process is left", lambda: not marked(demo.environment[MARK]))
