"""A sound content with one thing wrong."""

import copy
from typing import Any

GONE = object()


def changed(content: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy in which the value at `path` (`a.b.c`) is another one, or is GONE."""
    content = copy.deepcopy(content)
    *sections, last = path.split(".")
    inner = content
    for section in sections:
        inner = inner[section]
    if value is GONE:
        del inner[last]
    else:
        inner[last] = value
    return content
