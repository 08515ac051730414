"""docs/api.md is what the code says, and says every field and status."""

from pathlib import Path

from rayrank.serve.api_page import made
from rayrank.serve.openapi import STATUSES

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_up_to_date() -> None:
    assert (DOCS / "api.md").read_text() == made((DOCS / "data.md").read_text()), "run make docs"


def test_every_field_and_status_is_there() -> None:
    page = (DOCS / "api.md").read_text()
    for field in ("sequences.heard.known_at_ms", "candidates.cover", "ranking.top", "error.more"):
        assert f"| `{field}` |" in page
    for status in ("200", *STATUSES):
        assert f"\n| {status} | " in page
    told = (DOCS / "serving.md").read_text()
    assert all(f"\n| {status} " in told or f", {status} |" in told for status in STATUSES)
