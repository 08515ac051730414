"""What all jobs share: arguments, a run, a cluster, errors a person can read."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from rayrank.data.source import check_source
from rayrank.run.cluster import cluster
from rayrank.run.config import RunConfig, load_config
from rayrank.run.run import Run
from rayrank.run.terminal import readable_errors

Arguments = argparse.Namespace
NEW = "make a new version beside those made from something else, rather than refuse"


def run_job(
    description: str,
    main: Callable[[Run, Arguments], object],
    more: Callable[[argparse.ArgumentParser], object] = lambda parser: None,
    *,
    on_ray: bool = True,
) -> None:
    """Parse `--config FILE [--new] [key=value …]` and what `more` adds, run `main`, on a cluster
    unless it needs none.

    A fault in what the user gave ends the process with status 2 and its message alone, before
    Ray starts where it can be seen before.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--config", type=Path, required=True, help="the run's YAML file")
    add_overrides(parser)
    more(parser)
    arguments = parser.parse_args()
    with readable_errors():
        run = begin(load_config(arguments.config, arguments.overrides), new=arguments.new)
        if on_ray:
            with cluster(run.folder, Path(sys.argv[0]).stem):
                main(run, arguments)
        else:
            main(run, arguments)


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """`--new` and `key=value …`."""
    parser.add_argument("--new", action="store_true", help=NEW)
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="key=value",
        help="changes to the config, such as data.partitions=16",
    )


def add_ranker(parser: argparse.ArgumentParser, unless_said: str) -> None:
    """`--ranker NAME`."""
    parser.add_argument(
        "--ranker", help=f"which of the config's rankers; {unless_said} unless said"
    )


def add_version(parser: argparse.ArgumentParser) -> None:
    """`--version VERSION` of a bundle."""
    parser.add_argument("--version", help="which bundle; the one exported last unless said")


def begin(config: RunConfig, *, new: bool) -> Run:
    """The run of a config, checked as far as can be before anything starts. Raises ConfigError or
    DataError."""
    check_source(config.data)
    return Run(config, new=new)
