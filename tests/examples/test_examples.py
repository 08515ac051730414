"""Each example does what it says."""

import json
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import rayrank

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
WITHOUT_RAY = """
import runpy, sys
for name in ("ray", "torchrec", "fbgemm_gpu"):
    sys.modules[name] = None  # as if it were not installed
runpy.run_path(sys.argv[1], run_name="__main__")
"""


def said(*command: str | Path) -> str:
    """What a Python process prints in the root of the repository. It must succeed."""
    path = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    done = subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_ten_lines_learn_without_ray() -> None:
    losses = re.findall(r"epoch \d: loss (\S+)", said("-c", WITHOUT_RAY, EXAMPLES / "ten_lines.py"))
    assert len(losses) == 3
    assert sorted(map(float, losses), reverse=True) == list(map(float, losses))


def test_ones_own_model_is_trained_evaluated_and_exported(own_model: rayrank.Run) -> None:
    bundle = rayrank.load_bundle(own_model.folder.bundles / "current")
    assert type(bundle.ranker).__module__ == "examples.own_model"
    assert bundle.manifest.model["width"] == 16
    assert bundle.manifest.metrics["click"]["auc"][0] > 0.55


def test_a_tables_scores_are_the_trainers(own_model: rayrank.Run) -> None:
    printed = said(EXAMPLES / "score_table.py", str(own_model.folder))
    apart = re.findall(r"(click|order): ([\d,]+) scores, at most (\S+) apart", printed)
    assert [task for task, _, _ in apart] == ["click", "order"]
    assert all(float(difference) < 0.006 for _, _, difference in apart)
    assert all(int(count.replace(",", "")) > 100 for _, count, _ in apart)
    assert "as Arrow" in printed


def test_ones_own_data_comes_from_files_to_a_promoted_bundle(
    ray_cluster: None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("RAYRANK_API_KEY", raising=False)  # on a Ray that knows of no key
    monkeypatch.syspath_prepend(ROOT)
    own_data = import_module("examples.own_data")
    told = [
        f"run_dir={tmp_path / 'run'}",
        f"data.path={tmp_path / 'log'}",
        "rankers.mtgr.train.workers=1",
        "evaluate={workers: 1, bootstrap_samples: 5, lightgbm_trees: 5}",
    ]
    run = rayrank.Run(rayrank.load_config(EXAMPLES / "own_data.yaml", told))
    own_data.main(run)
    printed = capsys.readouterr().out
    assert "p.finish" in printed
    assert len(re.findall(r"episode/\d+", printed)) == 5
    (check,) = (tmp_path / "run" / "checks").glob("*.json")
    current = json.loads((tmp_path / "run" / "bundles" / "current").read_text())
    assert current == {"version": check.stem}
    found = json.loads((tmp_path / "run" / "eval" / "evaluation.json").read_text())
    assert found["rankers"]["mtgr"]["finish"]["gauc"][0] > 0.6
