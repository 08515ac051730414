"""What the pages point to is there, and every example is pointed to."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "k8s").glob("*.md")])


def links(page: Path) -> list[tuple[Path, str]]:
    """The files that a page links to, and the heading there (or nothing)."""
    found = re.findall(r"\]\(([^)#\s]*)(#[^)\s]*)?\)", page.read_text())
    return [
        (page.parent / file if file else page, heading)
        for file, heading in found
        if not file.startswith("http")
    ]


def headings(page: Path) -> set[str]:
    """As a link names them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {f"#{re.sub(r'[^a-z0-9 -]', '', title.lower()).replace(' ', '-')}" for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target, heading in links(page):
        assert target.exists(), f"{page.name}: {target}"
        assert not heading or heading in headings(target), f"{page.name}: {target}{heading}"


def test_every_example_and_page_is_linked() -> None:
    linked = {target.resolve() for page in PAGES for target, _ in links(page)}
    wanted = {*(ROOT / "examples").glob("*.py"), *(ROOT / "docs").glob("*.md")}
    assert wanted <= linked, wanted - linked
