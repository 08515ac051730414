"""A Prometheus on this machine that scrapes a Ray cluster and evaluates our alerts."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

import httpx
import yaml

from rayrank.errors import MonitorError

INSTALL = "prometheus is not installed; on Debian: apt-get install prometheus"
STARTS_S = 30.0
"""How long it may take to be ready."""
POLL_S = 0.1


class Line(NamedTuple):
    """One series of an answer."""

    labels: dict[str, str]
    points: list[tuple[float, float]]
    """(Unix time, value), ascending; of an instant one point."""


class Prometheus:
    """One that runs."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = httpx.Client(base_url=url, timeout=30)

    def now(self, query: str) -> list[Line]:
        """What a query gives at this moment. Raises MonitorError where Prometheus refuses it."""
        found = self._get("query", query=query)
        return [Line(of["metric"], [_point(of["value"])]) for of in found["result"]]

    def between(self, query: str, start_s: float, end_s: float, step_s: float) -> list[Line]:
        """The same over a time, Unix seconds, in steps."""
        found = self._get("query_range", query=query, start=start_s, end=end_s, step=step_s)
        return [Line(of["metric"], list(map(_point, of["values"]))) for of in found["result"]]

    def targets(self) -> dict[str, str]:
        """Each address that is scraped -> `up`, or what went wrong."""
        active = self._get("targets")["activeTargets"]
        return {
            of["labels"]["instance"]: of["lastError"] or of["health"]
            for of in sorted(active, key=lambda of: of["labels"]["instance"])
        }

    def alerts(self) -> dict[str, str]:
        """Each alert that is more than quiet -> `pending` or `firing`."""
        found = self._get("alerts")["alerts"]
        return {of["labels"]["alertname"]: of["state"] for of in found}

    def _get(self, what: str, **asked: Any) -> Any:
        answer = self._client.get(f"/api/v1/{what}", params=asked)
        content = answer.json()
        if content["status"] != "success":
            raise MonitorError(f"{content['error']}: {asked.get('query', what)}")
        return content["data"]


@contextmanager
def prometheus(
    targets: Path, rules: Sequence[Path], folder: Path, *, every_s: int = 10, port: int = 0
) -> Iterator[Prometheus]:
    """Run one until leaving. What it found stays in `folder`.

    targets: the file in which Ray writes down its exporters. rules: PrometheusRule manifests.
    every_s: between two looks; Ray's exporter shows a gauge for 20 s after it was set last. port:
    a free one unless said. Raises MonitorError where there is no Prometheus, or it does not start.
    """
    program = shutil.which("prometheus")
    if program is None:
        raise MonitorError(INSTALL)
    folder.mkdir(parents=True, exist_ok=True)
    plain = folder / "rules.yml"
    plain.write_text(plain_rules(rules))
    config = folder / "prometheus.yml"
    config.write_text(yaml.safe_dump(config_of(targets, plain, every_s)))
    address = f"127.0.0.1:{port or _free_port()}"
    log = folder / "prometheus.log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is ours; it is told below
        )
    running = Prometheus(f"http://{address}")
    try:
        _await_ready(running, process, log)
        yield running
    finally:
        process.terminate()
        process.wait()


def config_of(targets: Path, rules: Path, every_s: int) -> dict[str, Any]:
    """Its configuration."""
    return {
        "global": {"scrape_interval": f"{every_s}s", "evaluation_interval": f"{every_s}s"},
        "rule_files": [str(rules)],
        "scrape_configs": [
            {
                "job_name": "ray",
                "file_sd_configs": [{"files": [str(targets)], "refresh_interval": "5s"}],
            }
        ],
    }


def plain_rules(manifests: Sequence[Path]) -> str:
    """PrometheusRule manifests as a file of rules, which Prometheus and promtool read."""
    groups = [
        group
        for path in manifests
        for manifest in yaml.safe_load_all(path.read_text())
        for group in manifest["spec"]["groups"]
    ]
    return str(yaml.safe_dump({"groups": groups}, sort_keys=False))


def _await_ready(running: Prometheus, process: subprocess.Popen, log: Path) -> None:
    pause, until = Event(), time.monotonic() + STARTS_S
    while time.monotonic() < until:
        if process.poll() is not None:
            told = log.read_text().splitlines()
            why = next((line for line in told if "level=error" in line), "")
            raise MonitorError(f"prometheus ended with {process.returncode}; {log}: {why}")
        try:
            if httpx.get(f"{running.url}/-/ready").status_code == 200:
                return
        except httpx.HTTPError:  # does not listen yet
            pass
        pause.wait(POLL_S)
    raise MonitorError(f"prometheus is not ready after {STARTS_S:.0f} s; see {log}")


def _point(told: tuple[float, str]) -> tuple[float, float]:
    return float(told[0]), float(told[1])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
