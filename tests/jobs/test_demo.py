"""The demo from end to end on a small log, then the endpoint that `make serve` keeps up."""

import json
import os
import re
import signal
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ..clusters import ROOT, said_by, wait_until

MARK = "RAYRANK_TEST_MARK"


@dataclass(frozen=True)
class Demo:
    run_dir: Path
    said: str
    environment: dict[str, str]

    @property
    def summary(self) -> dict[str, Any]:
        return json.loads((self.run_dir / "summary.json").read_text())


def marked_processes(mark: str) -> list[str]:
    """Command lines of the processes that inherited our mark and still run."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text().replace("\0", " ")[:120])
        except OSError:  # ended meanwhile, or not ours to look at
            continue
    return found


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    run_dir = tmp_path_factory.mktemp("demo") / "run"
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "RAYRANK_"))}
    environment = inherited | {MARK: uuid.uuid4().hex}
    command = [
        *(sys.executable, "jobs/demo.py", f"run_dir={run_dir}", "data.simulate.users=120"),
        *("rankers.mtgr.train.epochs=1", "rankers.dlrm.train.epochs=1"),
        "evaluate.bootstrap_samples=10",
    ]
    return Demo(run_dir, said_by(command, environment), environment)


def test_summary(demo: Demo) -> None:
    summary = demo.summary
    data, train, served = summary["data"], summary["train"], summary["serve"]
    assert data["exposures"] > data["user_rows"] > 100
    assert data["compression"] == pytest.approx(data["exposures"] / data["user_rows"])
    assert data["tokens"] > data["exposures"]
    assert (train["workers"], train["steps"] > 5, train["tokens_per_s"] > 0) == (2, True, True)
    names = {"dlrm", "item_rate", "lightgbm", "oracle"}
    assert set(summary["baselines"]) == names
    for quality in [summary["eval"], *summary["baselines"].values()]:
        for task in ("click", "order"):
            assert all(0 < quality[task][metric] < 1 for metric in ("auc", "gauc"))
    assert served["requests"] > 50
    assert 0 < served["p50_ms"] <= served["p99_ms"]
    assert served["max_abs_diff"] <= 1e-4
    stages = {"build", "train", "eval", "export", "serve", "total"}
    assert set(summary["seconds"]) == stages
    assert sum(summary["seconds"].values()) <= 2 * summary["seconds"]["total"] + 1


def test_what_a_person_sees(demo: Demo) -> None:
    assert re.search(r"Ray dashboard  http://\S+   token  \S+", demo.said)
    for said in ("make serve", str(demo.run_dir / "report.html")):
        assert said in demo.said.replace("\n", "")
    for chatter in ("INFO", "WARNING", "torchrec", "(raylet)", "core_worker"):
        assert chatter not in demo.said
    assert "<html" in (demo.run_dir / "report.html").read_text()


def test_no_process_is_left(demo: Demo) -> None:
    wait_until("no process is left", lambda: not marked_processes(demo.environment[MARK]))


def test_serve_prints_a_curl_line_that_works(demo: Demo, tmp_path: Path) -> None:
    said = tmp_path / "said"
    with said.open("w") as file:
        serving = subprocess.Popen(
            [sys.executable, "jobs/serve.py", "--run-dir", str(demo.run_dir)],
            cwd=ROOT,
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
            ["bash", "-c", line.strip()], cwd=ROOT, capture_output=True, text=True, check=True
        )
        scores = json.loads(answer.stdout)["scores"]
        assert len(scores["click"]) == len(scores["order"]) > 0
    finally:
        serving.send_signal(signal.SIGINT)
        serving.wait(60)
    assert serving.returncode == 0
    wait_until("no process is left", lambda: not marked_processes(demo.environment[MARK]))
