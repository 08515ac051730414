"""What an evaluation leaves: its results, and scores that know what they were made from."""

import shutil
from pathlib import Path

import pytest
from rayrank.errors import TrainingError
from rayrank.evaluate.run import EVALUATION, read_evaluation
from rayrank.storage import sha256
from rayrank.train.checkpoint import MANIFEST
from rayrank.train.finished import finished_checkpoint
from rayrank.versions import made_from

from .runs import KINDS, Evaluated, evaluate_once


def test_results_are_counted_and_written(evaluated: Evaluated) -> None:
    results = evaluated.results
    assert (results.users, results.exposures) == (6, 37)
    assert results.rows == "0123456789ab"
    assert results.versions == {kind: f"version of {kind}" for kind in KINDS}
    assert read_evaluation(evaluated.out) == results
    assert {path.name for path in evaluated.out.iterdir()} == {EVALUATION, *KINDS}


def test_scores_know_what_they_were_made_from(evaluated: Evaluated) -> None:
    for ranker in evaluated.trained:
        (version,) = (evaluated.out / ranker.name).iterdir()
        checkpoint = finished_checkpoint(ranker.folder)
        assert made_from(version) == {
            "rows": "0123456789ab",
            "ranker": f"version of {ranker.name}",
            "checkpoint": checkpoint.name,
            "checkpoint_sha256": sha256(checkpoint / MANIFEST),
        }


def test_scores_that_are_there_are_used_again_and_that_is_said(
    evaluated: Evaluated, tmp_path: Path
) -> None:
    assert evaluated.said == []
    out = shutil.copytree(evaluated.out, tmp_path / "eval")
    again = evaluate_once(evaluated.trained, evaluated.rows, out, bootstrap_samples=3)
    versions = {kind: next((out / kind).iterdir()).name for kind in KINDS}
    assert again.said == [f"{kind}: scored already ({versions[kind]})" for kind in KINDS]
    assert again.watched == []
    for kind in KINDS:
        for task, quality in again.results.rankers[kind].items():
            assert quality["auc"].value == evaluated.results.rankers[kind][task]["auc"].value


def test_nobody_is_scored_before_all_have_finished(evaluated: Evaluated, tmp_path: Path) -> None:
    unfinished = evaluated.trained[1]._replace(folder=tmp_path / "unfinished")
    with pytest.raises(TrainingError, match="unfinished: not finished"):
        evaluate_once([evaluated.trained[0], unfinished], evaluated.rows, tmp_path / "eval", 3)
    assert not (tmp_path / "eval").exists()
