"""What a person got wrong is told before Ray starts, by name, without a traceback."""

import subprocess
import sys
from pathlib import Path

import pytest

from ..clusters import ROOT
from .podcasts import write_podcasts

CONFIG = """\
run_dir: {folder}/run
data: {{source: parquet, path: {folder}/log}}
rankers: {{one: {{model: {{kind: dlrm}}}}}}
"""


def refused(*command: str | Path, cwd: Path) -> str:
    ended = subprocess.run(
        [sys.executable, *command], cwd=cwd, capture_output=True, text=True, check=False
    )
    said = ended.stdout + ended.stderr
    assert ended.returncode == 2, said
    assert "Traceback" not in said
    assert "Ray dashboard" not in said
    return said.replace("\n", " ")


def test_a_mistyped_data_path_is_not_read_as_anything(tmp_path: Path) -> None:
    said = refused(ROOT / "jobs" / "demo.py", "--data", "no/where", cwd=tmp_path)
    assert "no/where: no such file or folder" in said
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: None, "schema.yaml: no such file"),
        (
            lambda text: text.replace("kind: id, table: episode", "kind: number, table: episode"),
            "features.episode: a feature of kind number takes no table",
        ),
        (
            lambda text: text.replace("source: items, table: topic", "source: users, table: topic"),
            "features.topics: a feature of users belongs to token profile",
        ),
    ],
)
def test_a_schema_at_fault_is_told_at_once_and_shortly(
    change: object, told: str, tmp_path: Path
) -> None:
    write_podcasts(tmp_path / "log", listeners=2, days=1)
    schema = tmp_path / "log" / "schema.yaml"
    text = change(schema.read_text())  # type: ignore[operator]
    if text is None:
        schema.unlink()
    else:
        schema.write_text(text)
    (tmp_path / "run.yaml").write_text(CONFIG.format(folder=tmp_path))
    job = ROOT / "jobs" / "build_rows.py"
    said = refused(job, "--config", tmp_path / "run.yaml", cwd=tmp_path)
    assert told in said
    assert "(found" not in said  # not the whole section, which is long
    assert not (tmp_path / "run").exists()
