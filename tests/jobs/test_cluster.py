"""A data set of one's own on a cluster: the README's exact command by `ray job submit`."""

import re

import httpx
import pytest
from rayrank.evaluate.run import read_evaluation
from rayrank.versions import CURRENT, named_version

from .cluster import KEY, Trained


def test_jobs_say_what_they_did(trained: Trained) -> None:
    assert "1,200 exposures" in trained.said
    for said in ("requests over HTTP", "is current", "report.html"):
        assert said in trained.said
    evaluation = read_evaluation(trained.run.folder.evaluations)
    assert evaluation is not None
    assert evaluation.rankers["mtgr"]["finish"]["gauc"].value > 0.6
    assert evaluation.differences["item_rate"]["finish"]["gauc"].value < 0
    # An item's mean knows how long it is, and not whose topic: it is farther off.
    assert evaluation.rankers["mtgr"]["listened"]["rank_correlation"].value > 0.4
    assert evaluation.differences["item_rate"]["listened"]["mae"].low > 0
    assert "<html" in trained.run.folder.report.read_text()


def test_no_secret_is_in_a_jobs_log(trained: Trained) -> None:
    """Ray's own token opens the cluster to whoever reads the log."""
    assert trained.head.token not in trained.said
    assert KEY not in trained.said


def test_a_job_run_again_has_nothing_to_do(trained: Trained) -> None:
    before = named_version(trained.run.folder.bundles, CURRENT)
    said = trained.submit(trained.entrypoint)
    for word in ("complete already", "trained already", "scored already", "checked already"):
        assert word in said
    assert named_version(trained.run.folder.bundles, CURRENT) == before


def test_the_dashboard_knows_the_job_and_the_training_by_name(trained: Trained) -> None:
    jobs = trained.head.get("/api/jobs/").json()
    assert any(job["metadata"].get("job_name") == "podcasts" for job in jobs)
    runs = trained.head.get("/api/train/v2/runs/v1").json()["train_runs"]
    assert any(run["name"].startswith("run-mtgr-") for run in runs), runs


def test_a_wrong_config_is_told_without_a_traceback(trained: Trained) -> None:
    with pytest.raises(AssertionError) as refused:
        trained.submit(
            ["python", "jobs/build_rows.py", "--config", "jobs/cluster.yaml", "data.partition=3"]
        )
    assert "data.partition: unknown key" in str(refused.value)
    assert "Traceback" not in str(refused.value)


def test_a_calibration_says_what_to_write(trained: Trained) -> None:
    said = trained.submit(["python", "jobs/calibrate.py", "--config", "jobs/cluster.yaml"])
    assert re.search(r"mtgr: train\.pair_cost: \S+ \(by the model's FLOPs \S+\)", said), said


def test_the_dashboard_demands_the_token(trained: Trained) -> None:
    assert httpx.get(f"{trained.head.dashboard}/api/version").status_code == 401
    assert trained.head.get("/api/version").status_code == 200
