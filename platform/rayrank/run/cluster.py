"""The Ray cluster of a job: joined, or started here, and said where it is."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray
import ray.data  # gives its loggers handlers, which are taken away here
from ray.job_config import JobConfig

from rayrank.errors import ConfigError
from rayrank.run.folder import RunFolder
from rayrank.run.terminal import console


def joined() -> bool:
    """Whether the job runs on a cluster that others see to, rather than on one it started."""
    return "RAY_ADDRESS" in os.environ


SUBMITTED = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Set by `ray job submit`, which has named the job already."""


@contextmanager
def cluster(folder: RunFolder, job: str) -> Iterator[None]:
    """Join the cluster that RAY_ADDRESS names, or start one here until the end of the job.

    What Ray and its libraries say goes to `ray.log` in the run's folder, and beside Ray's own logs,
    where the dashboard shows them. job: what the dashboard calls this.
    """
    started = not joined()
    # Ray Train's page in the dashboard is empty without it.
    os.environ.setdefault("RAY_TRAIN_ENABLE_STATE_TRACKING", "1")
    # Serve kills a proxy that is not there within 5 s, and with it ends whoever waits for it: on a
    # busy machine its imports alone take longer. (Serve itself waits for 60 s.)
    os.environ.setdefault("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", "60")
    ray.data.DataContext.get_current().enable_progress_bars = False
    log = _send_to_file(folder.ray_log)
    named = JobConfig(metadata={"job_name": f"{job} {folder.name}"})
    try:
        context = ray.init(
            "local" if started else "auto",
            log_to_driver=False,
            # Two workers train even where there is one core.
            num_cpus=max(2, os.cpu_count() or 1) if started else None,
            job_config=None if SUBMITTED in os.environ else named,
        )
    except ConnectionError as error:
        raise ConfigError(
            f"RAY_ADDRESS={os.environ['RAY_ADDRESS']}: no Ray there: {error}"
        ) from None
    try:
        _say_where(f"http://{context.dashboard_url}", started)
        if started:
            _show_in_dashboard(log, Path(context.address_info["session_dir"]), folder.name)
        yield
    finally:
        ray.shutdown()


def _say_where(url: str, started: bool) -> None:
    """The dashboard's address; its token only for a cluster of our own, and only to a person."""
    token = _token_file()
    if token is None:
        how = ""
    elif started and console.is_terminal:
        how = f"   token  {token.read_text().strip()}"
    else:
        how = f"   token  in {token}" if started else "   token  the cluster's"
    console.print(f"Ray dashboard  {url}{how}", highlight=False, soft_wrap=True)


def _token_file() -> Path | None:
    """Where Ray itself looks for the token, where it demands one."""
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH", Path.home() / ".ray" / "auth_token"))
    disabled = os.environ.get("RAY_AUTH_MODE") == "disabled"
    return None if disabled or not path.exists() else path


def _send_to_file(path: Path) -> logging.Handler:
    path.parent.mkdir(parents=True, exist_ok=True)
    warnings.filterwarnings("ignore")
    file = path.open("a", buffering=1)
    handler = logging.StreamHandler(file)
    handler.setLevel(logging.INFO)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.getLogger().addHandler(handler)
    # Ray gives each of these a handler of its own that writes to the terminal, whenever it likes.
    for name in RAYS_LOGGERS:
        library = logging.getLogger(name)
        library.handlers = [handler]
        library.propagate = False
    # Ray's C++ core writes straight to the process's standard error. Ours goes on to the terminal.
    terminal = os.fdopen(os.dup(2), "w", buffering=1)
    os.dup2(file.fileno(), 2)
    sys.stderr = console.file = terminal
    return handler


RAYS_LOGGERS = ("ray", "ray.data", "ray.train", "ray.serve")


def _show_in_dashboard(log: logging.Handler, session: Path, name: str) -> None:
    """A second copy among the files that the dashboard lists as the node's logs."""
    beside = logging.FileHandler(session / "logs" / f"rayrank-{name}.log")
    beside.setLevel(log.level)
    beside.setFormatter(log.formatter)
    for logger in (None, *RAYS_LOGGERS):
        logging.getLogger(logger).addHandler(beside)
