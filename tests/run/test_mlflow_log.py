"""What stands in MLflow of a training run: a store of files, read by MLflow's own client."""

import sys
from pathlib import Path
from typing import Any

import pytest
from rayrank.errors import TrainingError
from rayrank.run.mlflow_log import demand_mlflow, logged_to_mlflow
from rayrank.train.config import RankerConfig

from ..train.telling import at, take, telling

mlflow = pytest.importorskip("mlflow", reason="mlflow-skinny is not installed")
CONFIG = RankerConfig.model_validate({"model": {"kind": "dlrm"}, "train": {"epochs": 3}})


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file://{tmp_path}/mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # without it MLflow wants a database


def runs() -> list[Any]:
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("rayrank")
    return list(client.search_runs([experiment.experiment_id]))


def curve(name: str) -> list[tuple[int, float]]:
    """(step, value) of a metric of the only run."""
    (run,) = runs()
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, name)
    return [(point.step, point.value) for point in history]


def train(folder: Path, first: int, last: int, attempt: int = 1) -> None:
    with telling(folder, at(first, attempt=attempt)) as progress:
        for step in range(first + 1, last + 1):
            take(progress, at(step, attempt=attempt))
        progress.epoch(at(last, attempt=attempt), {"click": {"auc": last / 16}})


@pytest.mark.usefixtures("told")
def test_a_run_that_was_cut_goes_on_in_the_same_one(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def cut() -> None:
        with logged_to_mlflow(tmp_path / "run", "demo-mtgr-1", CONFIG):
            train(tmp_path / "run", 0, 4)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut()
    (before,) = runs()
    assert (before.info.status, before.info.run_name) == ("FAILED", "demo-mtgr-1")
    assert before.data.params["train.epochs"] == "3"
    with logged_to_mlflow(tmp_path / "run", "demo-mtgr-1", CONFIG):
        train(tmp_path / "run", 2, 6, attempt=2)
        assert runs()[0].info.status == "RUNNING"
    (after,) = runs()
    assert (after.info.status, after.info.run_id) == ("FINISHED", before.info.run_id)
    # The means of steps 1 to 4, then of 5 and 6: those that were taken again stand there already.
    means = {4: (1 + 1 / 2 + 1 / 3 + 1 / 4) / 4, 6: (1 / 5 + 1 / 6) / 2}
    assert dict(curve("loss")) == pytest.approx(means)
    assert len(curve("loss")) == 2
    assert curve("later/click/auc") == [(4, 4 / 16)]
    said = capfd.readouterr().err
    assert f"demo-mtgr-1: logs to MLflow, run {after.info.run_id}" in said
    assert f"demo-mtgr-1: goes on logging to MLflow, run {after.info.run_id}" in said


def test_a_server_that_cannot_be_used_is_said_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    refused = pytest.raises(TrainingError, match="which MLFLOW_TRACKING_URI names, cannot be used")
    with refused as error, logged_to_mlflow(tmp_path, "run", CONFIG):
        pytest.fail("training began")
    assert "secret" not in str(error.value)


def test_told_and_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    with pytest.raises(TrainingError, match="MLflow is not installed: pip install mlflow-skinny"):
        demand_mlflow()
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert not demand_mlflow()


def test_untold_nothing_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with logged_to_mlflow(tmp_path, "run", CONFIG):
        pass
    assert list(tmp_path.iterdir()) == []
