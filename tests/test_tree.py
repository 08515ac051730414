"""The house's rules: which module may import which, and what must not be there."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RAYRANK = ROOT / "platform" / "rayrank"
KERNELS = ROOT / "kernels" / "hstu_kernels"

# Folder -> the parts of rayrank that it may import. Arrows point one way.
MAY_IMPORT = {
    "schema": set(),
    "config": {"schema", "model"},
    "metrics": {"schema", "config"},
    "data": {"schema", "config"},
    "embedding": {"schema", "config"},
    "model": {"schema", "data", "embedding"},
}
EVERYONE = {"errors", "strict", "watch"}


def imports(file: Path) -> set[str]:
    """Absolute dotted names of every import in a file, wherever it stands."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(), str(file))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def packages(file: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(file)}


def parts_of_rayrank(file: Path) -> set[str]:
    """The folders (or modules) of rayrank that a file imports, its own left out."""
    own = file.relative_to(RAYRANK).parts[0]
    found = {name.split(".")[1] for name in imports(file) if name.startswith("rayrank.")}
    return found - {own} - EVERYONE


def python_files(folder: Path) -> list[Path]:
    files = sorted(folder.rglob("*.py"))
    assert files, folder
    return files


def test_platform_is_no_package() -> None:
    """With an __init__.py, `import platform` finds this folder and breaks Python's own, and Ray."""
    assert not (ROOT / "platform" / "__init__.py").exists()
    assert not (ROOT / "kernels" / "__init__.py").exists()


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_arrows_point_one_way(folder: str) -> None:
    for file in python_files(RAYRANK / folder):
        beyond = parts_of_rayrank(file) - MAY_IMPORT[folder]
        assert not beyond, f"{file.relative_to(ROOT)} imports rayrank.{sorted(beyond)}"


def test_kernels_import_neither_rayrank_nor_ray() -> None:
    for file in python_files(KERNELS):
        beyond = packages(file) - {*sys.stdlib_module_names, "torch", "triton", "hstu_kernels"}
        assert not beyond, f"{file.relative_to(ROOT)} imports {sorted(beyond)}"


def test_ray_and_torchrec_live_where_they_should() -> None:
    homes = {
        "ray": {"data", "train", "serve", "evaluate"},
        "torchrec": {"embedding", "train"},
        "fbgemm_gpu": {"embedding", "train"},
    }
    for package, folders in homes.items():
        for folder in (
            "schema",
            "config",
            "data",
            "embedding",
            "model",
            "train",
            "metrics",
            "infer",
            "serve",
        ):
            for file in python_files(RAYRANK / folder):
                allowed = folder in folders
                assert allowed or package not in packages(file), f"{file} imports {package}"


BLOCKED = """
import importlib, importlib.abc, pkgutil, sys

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"ray", "torchrec", "fbgemm_gpu"}:
            raise ImportError(f"{name} is not for this part of rayrank")
        return None

sys.meta_path.insert(0, Blocked())
for name in sys.argv[1:]:
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
    print(name)
"""


def import_without_ray(*names: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BLOCKED, *names],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )


def test_a_machine_without_ray_and_torchrec_can_import() -> None:
    """Even what they import in turn needs neither."""
    packages = ["hstu_kernels", "rayrank.schema", "rayrank.model", "rayrank.infer"]
    done = import_without_ray(*packages)
    assert done.returncode == 0, done.stderr[-1500:]
    assert done.stdout.split() == packages


def test_the_block_blocks() -> None:
    assert "ray is not for this part of rayrank" in import_without_ray("ray").stderr
