"""What the RayJob runs: its file, and the run's config as the job itself would read it."""

import shlex
from functools import cache
from pathlib import Path
from typing import NamedTuple

from rayrank.errors import ConfigError
from rayrank.run.config import RunConfig, load_config

from .objects import ROOT, Object


class Job(NamedTuple):
    file: str
    config_file: str
    config: RunConfig


def read_job(document: Object) -> tuple[Job | None, list[str]]:
    """Of `python FILE --config FILE [--new] [key=value ...]`, or why it is none."""
    return _read(document["spec"].get("entrypoint", ""))


@cache
def _read(entrypoint: str) -> tuple[Job | None, list[str]]:
    where = "RayJob entrypoint"
    words = shlex.split(entrypoint)
    match words:
        case ["python", file, "--config", config, *rest]:
            pass
        case _:
            return None, [f"{where}: {words} is not python FILE --config FILE"]
    overrides = [word for word in rest if "=" in word and not word.startswith("-")]
    found = [f"{where}: {w!r} is unknown" for w in rest if w != "--new" and w not in overrides]
    copied = dockerfile_folders()
    for name in (file, config):
        if not (ROOT / name).is_file():
            found.append(f"{where}: the repository has no {name}")
        elif Path(name).parts[0] not in copied:
            found.append(f"{where}: the image does not hold {name}")
    if found:
        return None, found
    try:
        return Job(file, config, load_config(ROOT / config, overrides)), []
    except ConfigError as error:
        return None, [f"{where}: {error}"]


def dockerfile_folders() -> set[str]:
    """What the image's working folder holds of the repository."""
    lines = (ROOT / "k8s" / "image" / "Dockerfile").read_text().splitlines()
    workdir = lines.index("WORKDIR /app")
    copies = [line.split()[1:] for line in lines[workdir:] if line.startswith("COPY ")]
    return {source for *sources, target in copies for source in sources if source == target}
