"""The job that scores: what it refuses, a kill, and the trainer's scores on a cluster."""

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from rayrank.evaluate.run import SCORES
from rayrank.run.scoring import MARKER
from rayrank.storage import files_in, place, read_parquet
from rayrank.versions import MADE_FROM

from ..clusters import MARK, ROOT, kill_marked, said_by, wait_until
from ..data.logs import write
from .cluster import Trained
from .scoring import ROWS, read, unlabelled, write_bundle
from .test_faults import refused


def test_what_a_person_got_wrong_is_told_at_once(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundles")
    job = (ROOT / "jobs" / "score.py", "--out", tmp_path / "out", "--bundle")
    for told, message in (
        ([bundle, "--rows", "nowhere"], "nowhere: no user rows"),
        ([bundle, "--log", "nowhere", "--since", "monday"], "a day such as 2026-11-24"),
        ([bundle, "--log", "nowhere"], "expected exposures.parquet or exposures/"),
        ([bundle, "--rows", "x", "--since", "2022-04-18"], "--since belongs to --log"),
        ([f"{tmp_path}/bundles/current", "--rows", "x"], "no version is current"),
    ):
        assert message in refused(*job, *told, cwd=tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_job_that_is_killed_leaves_no_marker_and_starts_anew(
    s3_bucket: str, tmp_path: Path
) -> None:
    """On an object store, and on a Ray of its own: what is tried is that all of it may die."""
    bundle = write_bundle(tmp_path / "bundles")
    write(tmp_path / "log", unlabelled(), files=2)
    remote = place(f"{s3_bucket}/mine")
    remote.fs.put(str(tmp_path / "bundles"), f"{remote.path}/bundles", recursive=True)  # type: ignore[union-attr]
    remote.fs.put(str(tmp_path / "log"), f"{remote.path}/log", recursive=True)  # type: ignore[union-attr]
    out = remote / "scored"
    command = [
        *(sys.executable, str(ROOT / "jobs" / "score.py"), "--log", f"{remote}/log"),
        *("--bundle", f"{remote}/bundles/{Path(bundle).name}", "--out", str(out)),
    ]
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "RAYRANK_"))}
    environment = inherited | {MARK: uuid.uuid4().hex}
    first = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
    )
    wait_until("it began", lambda: first.poll() is not None or (out / MADE_FROM).exists())
    assert first.poll() is None
    kill_marked(environment[MARK])
    first.wait()
    assert not (out / MARKER).exists()

    said = said_by(command, environment, tmp_path)
    assert "was cut after 0 parts: they go, all is scored anew" in said
    assert f"160 candidates of {ROWS} user rows, by mtgr" in said
    for progress in ("building user rows", "scoring user rows"):
        assert progress in said
    assert len(read(out)) == 160
    assert files_in(out / "rows", "**/*") == []
    assert "scored already (160 candidates)" in said_by(command, environment, tmp_path)


def test_a_job_on_a_cluster_gives_the_trainers_scores(trained: Trained) -> None:
    run = trained.run
    rows, out = run.rows() / "test", trained.work / "scored"
    told = ["--bundle", str(run.folder.bundles / "current"), "--rows", str(rows), "--out", str(out)]
    said = trained.submit(["python", "jobs/score.py", *told])
    assert json.loads((out / MARKER).read_text())["ranker"] == "mtgr"
    assert "user rows, by mtgr" in said
    (kept,) = files_in(run.folder.evaluations / "mtgr", f"*/{SCORES}")
    by = ["user", "time", "item"]
    trainers = read_parquet(kept).to_pandas().sort_values(by, ignore_index=True)
    found = pq.read_table(out / "scores").to_pandas().sort_values(by, ignore_index=True)
    assert len(found) == len(trainers) > 100
    for column in by:
        assert (found[column] == trainers[column]).all()
    for task in ("p.finish", "p.listened"):
        # A bundle's tables are in half precision.
        np.testing.assert_allclose(found[task], trainers[task], rtol=1e-2, atol=1e-3)
