"""Of this project."""

import tomllib
from functools import cache

from .objects import ROOT


@cache
def version() -> str:
    project = ROOT / "pyproject.toml"
    return str(tomllib.loads(project.read_text())["project"]["version"])
