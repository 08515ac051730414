"""What every job does first: its arguments, its run, and a fault told as one message."""

import argparse
import inspect
import sys
from pathlib import Path

import pytest
import yaml
from rayrank.errors import DataError
from rayrank.run.config import RunConfig
from rayrank.run.job import Arguments, add_ranker, add_version, begin, run_job
from rayrank.run.run import Run

from ..jobs.podcasts import write_podcasts

RANKER = {"mtgr": {"model": {"kind": "mtgr"}}}


def config(folder: Path) -> Path:
    content = {
        "run_dir": str(folder / "run"),
        "data": {"source": "parquet", "path": str(folder / "log")},
        "rankers": RANKER,
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(content))
    return folder / "run.yaml"


def start(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> list[tuple[Run, Arguments]]:
    """What the main of a job is called with."""
    called: list[tuple[Run, Arguments]] = []
    monkeypatch.setattr(sys, "argv", ["job.py", *arguments])

    def main(run: Run, told: Arguments) -> None:
        called.append((run, told))

    def more(parser: argparse.ArgumentParser) -> None:
        add_ranker(parser, "the first")
        add_version(parser)

    run_job("A job.", main, more, on_ray=False)
    return called


def test_a_job_is_told_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_podcasts(tmp_path / "log", listeners=2, days=1)
    told = ["--config", str(config(tmp_path)), "--ranker", "one", "data.partitions=7"]
    ((run, arguments),) = start(monkeypatch, *told)
    assert run.config.data.partitions == 7
    assert (run.new, arguments.ranker, arguments.version) == (False, "one", None)
    ((run, arguments),) = start(monkeypatch, *told, "--new", "--version", "abc")
    assert (run.new, arguments.version) == (True, "abc")


def test_a_fault_is_one_message_and_status_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        start(monkeypatch, "--config", str(config(tmp_path)))
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert f"{tmp_path}/log: no such folder" in said
    assert "Traceback" not in said


def test_a_run_begins_with_a_look_at_its_log(tmp_path: Path) -> None:
    content = {"run_dir": "x", "data": {"source": "parquet", "path": str(tmp_path / "no")}}
    unreadable = RunConfig.model_validate(content | {"rankers": RANKER})
    with pytest.raises(DataError, match="no such folder"):
        begin(unreadable, new=False)


def test_a_job_runs_on_a_cluster_unless_it_says_otherwise() -> None:
    assert inspect.signature(run_job).parameters["on_ray"].default is True
