"""What the day's job runs: its file, and the run's config as the job itself would read it."""

import shlex
from functools import cache
from pathlib import Path
from typing import NamedTuple

from rayrank.errors import ConfigError
from rayrank.run.config import RunConfig, load_config

from .objects import ROOT, Object, cluster_of, job_of
from .settings import environment, of_head

# Each day that is over and was not decided on; a day that is refused is no failed job.
TOLD = ["--day", "new", "--refused-status", "0"]


class Job(NamedTuple):
    file: str
    config_file: str
    config: RunConfig


def read_job(document: Object, documents: list[Object]) -> tuple[Job | None, list[str]]:
    """Of `python jobs/daily.py --config FILE --day new --refused-status 0 [key=value ...]`, or why
    it is none."""
    told = of_head(cluster_of(document), documents)
    return _read(job_of(document).get("entrypoint", ""), tuple(sorted(told.items())))


@cache
def _read(entrypoint: str, told: tuple[tuple[str, str], ...]) -> tuple[Job | None, list[str]]:
    where = "entrypoint"
    match shlex.split(entrypoint):
        case ["python", "jobs/daily.py" as file, "--config", config, *rest]:
            pass
        case words:
            return None, [f"{where}: {words} is not python jobs/daily.py --config FILE"]
    options = [word for word in rest if word.startswith("-") or "=" not in word]
    overrides = [word for word in rest if word not in options]
    found = [] if options == TOLD else [f"{where}: {options} are not {TOLD}"]
    copied = dockerfile_folders()
    for name in (file, config):
        if not (ROOT / name).is_file():
            found.append(f"{where}: the repository has no {name}")
        elif Path(name).parts[0] not in copied:
            found.append(f"{where}: the image does not hold {name}")
    if found:
        return None, found
    try:
        with environment(dict(told)):
            loaded = load_config(ROOT / config, overrides)
    except ConfigError as error:
        return None, [f"{where}: {error}"]
    split = loaded.data.split
    if split.valid or split.test:
        return None, [f"{where}: data.split keeps rows from days that are each the test of another"]
    return Job(file, config, loaded), []


def dockerfile_folders() -> set[str]:
    """What the image's working folder holds of the repository."""
    lines = (ROOT / "k8s" / "image" / "Dockerfile").read_text().splitlines()
    workdir = lines.index("WORKDIR /app")
    copies = [line.split()[1:] for line in lines[workdir:] if line.startswith("COPY ")]
    return {source for *sources, target in copies for source in sources if source == target}
