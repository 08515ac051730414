"""What all jobs share: arguments, a connection to Ray, quiet logs, errors a person can read."""

import argparse
import logging
import os
import secrets
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import ray
import ray.data  # gives its loggers handlers, which `connect` takes away
from rayrank.config import RunConfig, load_config
from rayrank.errors import RayrankError
from rayrank.watch import Watch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

console = Console(stderr=True)


def run_job(description: str, main: Callable[[RunConfig, argparse.Namespace], None]) -> None:
    """Parse `--config FILE [--ranker NAME] [key=value …]`, connect to Ray, run `main`.

    A fault in what the user gave ends the process with status 2 and its message alone.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--config", type=Path, required=True, help="the run's YAML file")
    parser.add_argument("--ranker", help="which of the config's rankers; the first unless said")
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="key=value",
        help="changes to the config, such as data.partitions=16",
    )
    arguments = parser.parse_args()
    with readable_errors():
        config = load_config(arguments.config, arguments.overrides)
        connect(config.run_dir)
        main(config, arguments)


@contextmanager
def readable_errors() -> Iterator[None]:
    """RayrankError ends the process with its message and status 2; faults of ours keep their
    traceback."""
    try:
        yield
    except RayrankError as error:
        console.print(f"[bold red]error[/] {type(error).__name__}:", highlight=False)
        console.print(str(error), markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)


def connect(run_dir: Path) -> None:
    """Join the cluster that RAY_ADDRESS names, or start one here, and say where its dashboard is.

    What Ray and its libraries say goes to `run_dir/ray.log`; what workers say stays in Ray's logs.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    _send_to_file(run_dir / "ray.log")
    ray.data.DataContext.get_current().enable_progress_bars = False
    # Two workers train even where there is one core.
    cores = None if "RAY_ADDRESS" in os.environ else max(2, os.cpu_count() or 1)
    context = ray.init(log_to_driver=False, num_cpus=cores)
    console.print(
        f"Ray dashboard  http://{context.dashboard_url}   token  {_ray_token() or 'none'}",
        highlight=False,
        soft_wrap=True,
    )


def _ray_token() -> str | None:
    """The token this process shows to clusters, found where Ray itself looks for it."""
    if "RAY_AUTH_TOKEN" in os.environ:
        return os.environ["RAY_AUTH_TOKEN"]
    default = Path.home() / ".ray" / "auth_token"
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH", default))
    if os.environ.get("RAY_AUTH_MODE") == "disabled" or not path.exists():
        return None
    return path.read_text().strip()


def write_secret(path: Path) -> str:
    """A new secret in a file that its owner alone can read."""
    secret = secrets.token_hex(32)
    path.touch(mode=0o600)
    path.write_text(secret)
    return secret


def _send_to_file(log: Path) -> None:
    warnings.filterwarnings("ignore")
    file = log.open("a", buffering=1)
    handler = logging.StreamHandler(file)
    handler.setLevel(logging.INFO)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.getLogger().addHandler(handler)
    # Ray gives each of these a handler of its own that writes to the terminal, whenever it likes.
    for name in ("ray", "ray.data", "ray.train", "ray.serve"):
        library = logging.getLogger(name)
        library.handlers = [handler]
        library.propagate = False
    # Ray's C++ core writes straight to the process's standard error. Ours goes on to the terminal.
    terminal = os.fdopen(os.dup(2), "w", buffering=1)
    os.dup2(file.fileno(), 2)
    sys.stderr = console.file = terminal


@contextmanager
def watching(what: str) -> Iterator[Watch]:
    """A progress bar on standard error: call what this yields with (done, of)."""
    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(bar_width=36),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(what, total=None)

        def watch(done: int, of: int) -> None:
            progress.update(task, completed=done, total=of)

        yield watch
