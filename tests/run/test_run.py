"""A run keeps what it was told, and how long its stages took; a folder says where things lie."""

import sys
from pathlib import Path

import pytest
import yaml
from rayrank.run.config import RunConfig
from rayrank.run.folder import RunFolder
from rayrank.run.run import Run


def run_in(folder: Path, users: int = 10) -> Run:
    told = {"source": "simulate", "simulate": {"users": users}}
    rankers = {"mtgr": {"model": {"kind": "mtgr"}}}
    return Run(RunConfig.model_validate({"run_dir": str(folder), "data": told, "rankers": rankers}))


def test_a_stage_that_did_its_work_keeps_what_it_was_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["jobs/demo.py", "--data", "a log"])
    run = run_in(tmp_path)
    with run.stage("build", "something"):
        pass
    kept = RunConfig.model_validate(yaml.safe_load(run.folder.config.read_text()))
    assert kept == run.config
    assert run.folder.command.read_text() == "python jobs/demo.py --data 'a log'\n"
    assert 0 <= run.seconds()["build"] < 60


def test_a_stage_that_refused_changes_nothing(tmp_path: Path) -> None:
    with run_in(tmp_path).stage("build", "something"):
        pass
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match="no"), run_in(tmp_path, users=99).stage("build", "else"):
        raise ValueError("no")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_stage_with_nothing_to_do_keeps_the_time_it_once_took(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    with run.stage("train", "something"):
        pass
    took = run.folder.stage("train").read_text()
    with run.stage("train", "something") as stage:
        stage.reused = True
    assert run.folder.stage("train").read_text() == took
    assert list(run.seconds()) == ["train"]


@pytest.mark.parametrize("uri", ["s3://bucket/team/run", "runs/run"])
def test_what_belongs_to_this_machine_is_on_this_machine(uri: str) -> None:
    folder = RunFolder(uri)
    assert folder.name == "run"
    assert str(folder) == uri
    for path in (folder.api_key, folder.ray_log, folder.request):
        assert isinstance(path, Path)
        assert path.parent == Path("runs/run")
    for place in (folder.rows, folder.bundles, folder.report, folder.ranker("x")):
        assert str(place).startswith(uri)
