"""Loops are compiled once on a machine, and never taken for those of other code."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rayrank.embedding import compiled

FIND = """
import json, torch
from rayrank.embedding.id_map_cpu import CompiledIdMap, _find
found = CompiledIdMap().find(torch.arange(3)).tolist()
hits, misses = _find.stats.cache_hits, _find.stats.cache_misses
print(json.dumps([found, sum(hits.values()), sum(misses.values())]))
"""


def find(**variables: str) -> list[object]:
    """What an empty map finds of three ids in a process of its own, and how many loops it took from
    what was kept, and compiled."""
    ended = subprocess.run(
        [sys.executable, "-c", FIND],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    told: list[object] = json.loads(ended.stdout)
    return told


def test_another_process_compiles_nothing(tmp_path: Path) -> None:
    nothing = [-1, -1, -1]
    assert find(NUMBA_CACHE_DIR=str(tmp_path)) == [nothing, 0, 1]
    assert find(NUMBA_CACHE_DIR=str(tmp_path)) == [nothing, 1, 0]
    (folder,) = (tmp_path / "rayrank").iterdir()
    assert folder.stat().st_mode & 0o077 == 0, "nobody else may write or read there"


def test_where_nothing_can_be_kept_it_works_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    told = str(tmp_path / "file")
    assert compiled.kept_in(tmp_path / "file") is None
    assert find(NUMBA_CACHE_DIR=told)[:2] == [[-1, -1, -1], 0]


def test_a_user_without_a_home_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `Path.home` says it, of a user id that no file knows."""

    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nowhere)
    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert compiled.kept() is None


def test_other_code_is_kept_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of any file of the folder: loops call functions of others."""
    shutil.copytree(compiled.HERE, tmp_path / "embedding")
    monkeypatch.setattr(compiled, "HERE", tmp_path / "embedding")
    same = compiled.kept_in(tmp_path)
    hashing = tmp_path / "embedding" / "hashing.py"
    hashing.write_text(hashing.read_text().replace("np.uint64(30)", "np.uint64(29)"))
    assert compiled.kept_in(tmp_path) != same
