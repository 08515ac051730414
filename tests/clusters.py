"""Real Ray clusters in processes of their own, for tests that kill workers or submit jobs."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import httpx

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
KEY_VARIABLE = "RAYRANK_API_KEY"
API_KEY = "a key that only these tests know"
QUICK_TRAIN = {"RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2"}
"""Ray Train takes a worker's report at its next look, every 2 s otherwise: tests, which save often,
would mostly wait for it."""


def wait_until(what: str, happened: Callable[[], bool], seconds: float = 300) -> None:
    """Poll until something outside this process has happened; AssertionError after `seconds`."""
    pause = Event()
    for _ in range(int(seconds * 10)):
        if happened():
            return
        pause.wait(0.1)
    raise AssertionError(f"waited {seconds:.0f} s: {what}")


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


MARK = "RAYRANK_TEST_MARK"
"""A variable that all descendants of a process inherit."""


def marked(mark: str) -> dict[int, str]:
    """The processes that inherited our mark and still run, with their command lines."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes():
                line = (process / "cmdline").read_text().replace("\0", " ")[:120]
                found[int(process.name)] = line
        except OSError:  # ended meanwhile, or not ours to look at
            continue
    return {pid: line for pid, line in found.items() if line}  # without one it is a zombie


def kill_marked(mark: str) -> None:
    """End them all at once, as a machine that fails does."""
    for pid in marked(mark):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@dataclass(frozen=True)
class Head:
    """A running head node with token authentication."""

    dashboard: str
    gcs: str
    """Where nodes join."""
    token: str
    targets: Path
    """The file in which Ray tells Prometheus where to look."""
    environment: dict[str, str]
    """What a client process needs to be let in."""

    def get(self, path: str) -> httpx.Response:
        """Ask the dashboard, showing the token."""
        return httpx.get(
            f"{self.dashboard}{path}", headers={"Authorization": f"Bearer {self.token}"}
        )

    def run(self, *command: str, cwd: Path = ROOT) -> str:
        """Run a client command (`ray job submit …`, `serve deploy …`); its output. Must succeed."""
        return said_by([BIN / command[0], *command[1:]], self.environment, cwd)


def said_by(command: Sequence[str | Path], environment: dict[str, str], cwd: Path = ROOT) -> str:
    """What a command says on both its streams. It must succeed."""
    ended = subprocess.run(
        command,
        env=environment,
        cwd=cwd,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


@contextmanager
def ray_head(cpus: int = 2, workers: Sequence[int] = (), **variables: str) -> Iterator[Head]:
    """`ray start --head` with a token of its own and these environment variables, stopped on
    leaving. workers: the CPUs of each further node."""
    with tempfile.TemporaryDirectory(prefix="rayrank-") as folder:
        token = Path(folder) / "token"
        token.write_text(secrets.token_hex(32))
        port, agent, client, gcs = (free_port() for _ in range(4))
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
        mark = uuid.uuid4().hex
        environment = inherited | {
            MARK: mark,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            **QUICK_TRAIN,
            "PATH": f"{BIN}:{os.environ['PATH']}",
            **variables,
        }
        head = subprocess.Popen(
            [
                BIN / "ray",
                "start",
                "--head",
                "--block",
                f"--port={gcs}",
                f"--num-cpus={cpus}",
                f"--dashboard-port={port}",
                # Their usual ports belong to whatever other Ray runs on this machine.
                f"--dashboard-agent-listen-port={agent}",
                f"--ray-client-server-port={client}",
                f"--temp-dir={folder}/ray",
                "--disable-usage-stats",
            ],
            env=environment,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        url = f"http://127.0.0.1:{port}"
        running = Head(
            url,
            f"127.0.0.1:{gcs}",
            token.read_text(),
            Path(folder) / "ray" / "prom_metrics_service_discovery.json",
            environment | {"RAY_ADDRESS": url, "RAY_DASHBOARD_ADDRESS": url},
        )

        def answers() -> bool:
            assert head.poll() is None, f"ray start ended with {head.returncode}"
            try:
                dashboard = running.get("/api/version")
                jobs = httpx.get(f"http://127.0.0.1:{agent}/api/local_raylet_healthz")
                return dashboard.status_code == jobs.status_code == 200
            except httpx.HTTPError:
                return False

        try:
            wait_until("the dashboard and the agent that starts jobs answer", answers)
            for number, count in enumerate(workers):
                # With folders of its own, as another machine has: what one node no longer needs of
                # a job's files would be gone for the other.
                place = f"--temp-dir={folder}/ray-{number}"
                address = f"--address={running.gcs}"
                running.run("ray", "start", address, place, f"--num-cpus={count}")
            yield running
        finally:
            kill_marked(mark)  # it would take half a minute to end by itself
            head.wait(60)
