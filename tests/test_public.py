"""The public face: what it has, what it costs to ask for it, and that it says of itself."""

import inspect
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import rayrank
from rayrank.versions import CURRENT, name_version

from .infer.bundles import trained, write

ROOT = Path(__file__).parents[1]


def said(script: str, *arguments: str) -> str:
    """What a process prints. It must succeed."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", rayrank.__all__)
def test_every_name_is_there_and_says_what_it_is(name: str) -> None:
    assert inspect.getdoc(getattr(rayrank, name))
    assert name in dir(rayrank)


@pytest.mark.parametrize("name", ["build", "train", "evaluate", "export", "check", "promote"])
def test_every_stage_says_what_it_does(name: str) -> None:
    assert inspect.getdoc(getattr(rayrank.stages, name))


def test_no_name_is_a_folders() -> None:
    """Whose module would take its place as soon as anything in it is imported."""
    assert rayrank.__file__ is not None
    modules = {path.stem for path in Path(rayrank.__file__).parent.iterdir()}
    assert modules > {"train", "evaluate"}
    assert not modules & set(rayrank.__all__)


def test_what_is_not_there_is_an_error() -> None:
    with pytest.raises(AttributeError, match="module 'rayrank' has no attribute 'predict'"):
        _ = rayrank.predict


def test_importing_it_imports_nothing_else() -> None:
    script = "import sys, rayrank; print(*{name.split('.')[0] for name in sys.modules})"
    imported = set(said(script).split())
    assert "rayrank" in imported
    assert not imported & {"ray", "torch", "torchrec", "pandas", "pyarrow", "pydantic", "numpy"}


def test_the_page_has_every_name() -> None:
    page = (ROOT / "docs" / "python.md").read_text()
    lines = [line.split(" | ")[0] for line in page.splitlines() if line.startswith("| `")]
    names = {name for line in lines for name in re.findall(r"`(\w+)", line)}
    assert names == {*rayrank.__all__, "__version__"}


SCORE = """
import sys
for name in ("ray", "torchrec", "fbgemm_gpu", "lightgbm", "fastapi", "scipy", "rich", "httpx"):
    sys.modules[name] = None  # as if it were not installed
import pandas as pd
import rayrank

candidates = pd.DataFrame({
    "user_id": [7, 7], "item_id": [1, 2], "time_ms": 1_600_000_000_000, "tags": [[1], []],
    "price": 2.0, "distance": 0.5, "ctr": 0.1,
})
users = pd.DataFrame({"user_id": [7], "city": 1, "langs": [[1, 2]], "age": 30, "income": 2.0})
bundle = rayrank.load_bundle(sys.argv[1])
scored = rayrank.score(bundle, candidates, users=users)
print(bundle.manifest.version, *scored["p.click"])
"""


def test_a_bundle_scores_where_neither_ray_nor_torchrec_is(tmp_path: Path) -> None:
    """Found by its version, or as the one that is current."""
    manifest = write(tmp_path, trained("mtgr"), "mtgr")
    name_version(tmp_path, CURRENT, manifest.version)
    first = said(SCORE, str(tmp_path / manifest.version)).split()
    assert first[0] == manifest.version
    assert 0 < float(first[1]) != float(first[2]) < 1
    assert said(SCORE, str(tmp_path / CURRENT)).split() == first


def test_the_version_is_the_distributions() -> None:
    assert rayrank.__version__ == version("rayrank")


def test_one_version_is_written_everywhere() -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    (newest, *_) = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest == told
    tags = [
        tag
        for file in (ROOT / "k8s").rglob("*")
        if file.is_file()
        # Of our images, wherever one is named: not of Redis's.
        for tag in re.findall(
            r"rayrank(?:-serving)?(?::|\n\s+newTag: )(\d+\.\d+\.\d+)", file.read_text()
        )
    ]
    assert len(tags) >= 3
    assert set(tags) == {told}
