"""The pages as a site: `make site`, where a dead link or a page in no menu is an error."""

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from .clusters import ROOT

NAV = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
INSTALLED = importlib.util.find_spec("mkdocs") and importlib.util.find_spec("material")


def pages(nav: object) -> Iterator[str]:
    """The files that the navigation names."""
    if isinstance(nav, str):
        yield nav
    elif isinstance(nav, list | dict):
        for part in nav.values() if isinstance(nav, dict) else nav:
            yield from pages(part)


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    """`make site` of the pages in a folder, with the packages that run this test."""
    command = ["make", "--silent", "--assume-old=.venv/installed", "site"]
    return subprocess.run(
        [*command, f"BIN={Path(sys.executable).parent}"],
        cwd=folder,
        # Not what a `make` that runs this test was told.
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The repository's files under links: what is built here is no one else's."""
    for path in ROOT.iterdir():
        if not path.name.startswith("."):
            (tmp_path / path.name).symlink_to(path)
    return tmp_path


def test_every_page_is_in_the_navigation_once() -> None:
    named = list(pages(NAV))
    assert len(named) == len(set(named))
    written = {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")}
    written |= {page.name for page in ROOT.glob("*.md")}
    assert set(named) == written | {"k8s/README.md", "kernels/README.md"}


@pytest.mark.skipif(not INSTALLED, reason="mkdocs-material is not installed here")
def test_the_site_is_built_without_a_warning_and_needs_nothing_from_elsewhere(
    checkout: Path,
) -> None:
    done = build(checkout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr, done.stderr
    html = checkout / ".site" / "html"
    for page in pages(NAV):
        name = page.replace("README.md", "index.md").replace(".md", ".html")
        text = (html / name).read_text()
        loaded = re.findall(r"<(?:script|link|img|iframe)\b[^>]*(?:src|href)=.?(https?:)", text)
        assert not loaded, f"{name} loads from elsewhere"


@pytest.mark.skipif(not INSTALLED, reason="mkdocs-material is not installed here")
@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("docs/models.md", "[there](nowhere.md)", "nowhere.md"),
        ("docs/models.md", "[there](data.md#nothing)", "nothing"),
        ("docs/unlisted.md", "# Nobody finds it", "unlisted.md"),
    ],
)
def test_a_mistake_ends_it(checkout: Path, name: str, text: str, said: str) -> None:
    docs = checkout / "docs"
    docs.unlink()
    docs.mkdir()
    for path in (ROOT / "docs").iterdir():
        (docs / path.name).symlink_to(path)
    page = checkout / name
    before = page.read_text() if page.exists() else ""
    page.unlink(missing_ok=True)
    page.write_text(f"{before}\n{text}\n")
    done = build(checkout)
    assert done.returncode != 0
    assert said in done.stderr, done.stderr
