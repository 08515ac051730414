"""The house's rules: which module may import which, and what must not be there."""

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RAYRANK = ROOT / "platform" / "rayrank"
KERNELS = ROOT / "kernels" / "hstu_kernels"

GROUND = {"errors", "series", "strict", "storage", "tensors", "versions", "watch"}
"""The ground floor, on which every room stands."""
BESIDE = {"data", "embedding", "model"}
# Room -> the other rooms that it may import. Arrows point one way: DESIGN section 1.
ROOMS = {
    "schema": set(),
    "metrics": set(),
    "data": {"schema"},
    "embedding": {"schema"},
    "model": {"schema", "data", "embedding"},
    "infer": {"schema", *BESIDE},
    "train": {"schema", "metrics", "infer", *BESIDE},
    "evaluate": {"schema", "metrics", "train", *BESIDE},
    "serve": {"schema", "data", "infer"},
    "report": {"metrics"},
    "run": {"schema", "metrics", "train", "evaluate", "infer", "serve", "report", *BESIDE},
    "lab": {"schema", "metrics", "train", "evaluate", "infer", "report", "run", *BESIDE},
    # What it shows; of these their `series` alone, and of the report its drawing.
    "monitor": {"data", "train", "serve", "run", "report"},
}
FLOOR = {
    "errors": set(),
    "series": set(),
    "watch": set(),
    "storage": set(),
    "strict": {"errors", "storage"},
    "tensors": {"storage"},
    "versions": {"errors", "storage"},
}
HOMES = {
    "ray": {"data", "train", "evaluate", "serve", "run", "lab"},
    "torchrec": {"embedding", "train"},
    "fbgemm_gpu": {"embedding", "train"},
    "hstu_kernels": {"model"},
}
"""Package -> the rooms that may import it."""


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
    """The rooms (or modules of the ground floor) that a file imports."""
    return {name.split(".")[1] for name in imports(file) if name.startswith("rayrank.")}


def python_files(folder: Path) -> list[Path]:
    files = sorted(folder.rglob("*.py"))
    assert files, folder
    return files


def test_platform_is_no_package() -> None:
    """With an __init__.py, `import platform` finds this folder and breaks Python's own, and Ray."""
    assert not (ROOT / "platform" / "__init__.py").exists()
    assert not (ROOT / "kernels" / "__init__.py").exists()


def test_every_room_is_a_package() -> None:
    """One without an __init__.py is found in a checkout, and missing from what is installed."""
    for folder in (RAYRANK, KERNELS):
        rooms = {file.parent for file in folder.rglob("*.py")}
        assert {room for room in rooms if not (room / "__init__.py").exists()} == set()


def test_every_room_is_known_here() -> None:
    found = {path.parent.name for path in RAYRANK.glob("*/*.py")}
    assert found == set(ROOMS)
    assert {path.stem for path in RAYRANK.glob("*.py")} == GROUND | {"__init__"}


@pytest.mark.parametrize("room", ROOMS)
def test_arrows_point_one_way(room: str) -> None:
    for file in python_files(RAYRANK / room):
        beyond = parts_of_rayrank(file) - ROOMS[room] - GROUND - {room}
        assert not beyond, f"{file.relative_to(ROOT)} imports rayrank.{sorted(beyond)}"


@pytest.mark.parametrize("module", FLOOR)
def test_the_ground_floor_stands_on_itself(module: str) -> None:
    beyond = parts_of_rayrank(RAYRANK / f"{module}.py") - FLOOR[module]
    assert not beyond, f"{module}.py imports rayrank.{sorted(beyond)}"


def test_no_arrow_leads_back() -> None:
    """Neither as allowed above nor, within a room, from module to module."""
    TopologicalSorter(ROOMS).prepare()
    TopologicalSorter(FLOOR).prepare()
    modules = {
        str(file.relative_to(RAYRANK).with_suffix("")).replace("/", "."): file
        for file in python_files(RAYRANK)
        if file.name != "__init__.py"
    }
    graph: dict[str, set[str]] = {}
    for name, file in modules.items():
        wanted = {one.removeprefix("rayrank.") for one in imports(file)}
        # `from rayrank.data.log import Log` names data.log.Log; `from rayrank.train import
        # checkpoint` names train.checkpoint.
        graph[name] = {one for one in modules if one in wanted or one in parents(wanted)} - {name}
    TopologicalSorter(graph).prepare()
    assert graph["train.export"] >= {"infer.bundle", "train.checkpoint"}


def parents(names: set[str]) -> set[str]:
    return {name.rpartition(".")[0] for name in names}


def test_entry_points_are_thin_and_stand_on_top() -> None:
    """Nothing imports them but tests, and nothing below imports `run`."""
    for folder in ("jobs", "serve_apps"):
        for file in python_files(ROOT / folder):
            beyond = packages(file) & {"torchrec", "fbgemm_gpu", "hstu_kernels", "jobs"}
            assert not beyond, f"{file.relative_to(ROOT)} imports {sorted(beyond)}"
    for file in python_files(RAYRANK):
        assert not packages(file) & {"jobs", "serve_apps", "tests"}, file


def test_kernels_import_neither_rayrank_nor_ray() -> None:
    for file in python_files(KERNELS):
        beyond = packages(file) - {*sys.stdlib_module_names, "torch", "triton", "hstu_kernels"}
        assert not beyond, f"{file.relative_to(ROOT)} imports {sorted(beyond)}"


@pytest.mark.parametrize("package", HOMES)
def test_ray_and_torchrec_live_where_they_should(package: str) -> None:
    found = {room for room in ROOMS for f in python_files(RAYRANK / room) if package in packages(f)}
    assert found <= HOMES[package]
    for module in GROUND:
        assert package not in packages(RAYRANK / f"{module}.py"), module


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
    for module in pkgutil.walk_packages(getattr(package, "__path__", []), package.__name__ + "."):
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
    rooms = ("schema", "metrics", "model", "infer", "report", *sorted(GROUND))
    names = ["hstu_kernels", *(f"rayrank.{room}" for room in rooms)]
    done = import_without_ray(*names)
    assert done.returncode == 0, done.stderr[-1500:]
    assert done.stdout.split() == names


def test_the_block_blocks() -> None:
    assert "ray is not for this part of rayrank" in import_without_ray("ray").stderr


def files_of_the_project() -> list[Path]:
    """What git tracks, and what it would: everything but what .gitignore names."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    ).stdout.splitlines()
    files = [ROOT / name for name in listed if (ROOT / name).is_file()]
    assert len(files) > 100
    return files


def test_files_are_read_in_one_sitting() -> None:
    """300 lines at most; kernels, whose bodies are long, are their own house."""
    long = {
        str(file.relative_to(ROOT)): lines
        for file in files_of_the_project()
        if file.suffix in (".py", ".md", ".yaml")
        and not {"kernels"} & set(file.relative_to(ROOT).parts)
        and (lines := len(file.read_text().splitlines())) > 300
    }
    assert not long


def test_the_old_name_is_gone() -> None:
    old = "gen" + "rank"
    for file in files_of_the_project():
        name = str(file.relative_to(ROOT))
        assert old not in name.lower()
        assert old.encode() not in file.read_bytes().lower(), name


# What knows of a run: its folder's places are named there, and nowhere else.
ABOUT_RUNS = [ROOT / "jobs", ROOT / "serve_apps", RAYRANK / "run"]


def joined_by_hand(tree: ast.AST) -> list[str]:
    """Places of a run that code makes up itself: `folder… / "name"`, f"{folder}/name", `run_dir`
    anywhere but in RunFolder(…) or LabFolder(…)."""
    asked = {
        id(argument)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("RunFolder", "LabFolder")
        for argument in node.args
    }
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.BinOp(left=left, op=ast.Div(), right=ast.Constant() | ast.JoinedStr()):
                by_hand = re.search(r"\bfolder\b", ast.unparse(left)) is not None
            case ast.JoinedStr(values=values):
                by_hand = any(
                    isinstance(one, ast.FormattedValue)
                    and re.search(r"\bfolder\b", ast.unparse(one.value)) is not None
                    and isinstance(other, ast.Constant)
                    and str(other.value).startswith("/")
                    for one, other in pairwise(values)
                )
            case ast.Attribute(attr="run_dir"):
                by_hand = id(node) not in asked
            case _:
                by_hand = False
        if by_hand:
            found.append(ast.unparse(node))
    return found


def test_only_the_runs_folder_says_where_things_lie() -> None:
    for folder in ABOUT_RUNS:
        for file in python_files(folder):
            if file != RAYRANK / "run" / "folder.py":
                by_hand = joined_by_hand(ast.parse(file.read_text()))
                assert not by_hand, f"{file.relative_to(ROOT)}: {by_hand}"


@pytest.mark.parametrize(
    "code", ['run.folder.root / "x"', 'f"{self.folder.bundles}/current"', "place(config.run_dir)"]
)
def test_a_path_joined_by_hand_is_found(code: str) -> None:
    assert joined_by_hand(ast.parse(code))
