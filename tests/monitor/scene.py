"""A cluster on which a ranker learned days, one was refused, and the last one's bundle is served;
all of it under the eyes of a Prometheus. A Ray of its own: what is tried is what reaches Prometheus
from jobs that have ended."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import yaml
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from rayrank.data.config import SimulateConfig
from rayrank.monitor.prometheus import Prometheus, prometheus

from bench.daily_log import write_log

from ..clusters import API_KEY, KEY_VARIABLE, ROOT, Head, free_port, ray_head, wait_until

CODE = f"{ROOT}:{ROOT}/platform:{ROOT}/kernels"
"""What the cluster runs: this tree, whatever is installed."""
MONITORING = ROOT / "k8s" / "monitoring"
RULES = sorted(MONITORING.glob("rules-*.yaml"))
REPORT_MS = "RAY_metrics_report_interval_ms"


class Days(NamedTuple):
    """What is learned."""

    log: SimulateConfig
    damaged: int
    """The number of a day, from 1."""
    config: dict[str, Any]
    wanted: str
    """Days, as jobs/daily.py takes them."""


class Scene(NamedTuple):
    head: Head
    prometheus: Prometheus
    url: str
    """Of the application."""
    request: bytes
    """One that works."""

    def post(self, content: bytes) -> int:
        key = {"Authorization": f"Bearer {API_KEY}"}
        asked = httpx.post(f"{self.url}/v1/rank", content=content, headers=key, timeout=30)
        return asked.status_code

    def healthy(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz").status_code == 200
        except httpx.HTTPError:  # does not listen yet
            return False

    def exported(self) -> Iterator[Metric]:
        """What all exporters say now."""
        for group in json.loads(self.head.targets.read_text()):
            for address in group["targets"]:
                yield from text_string_to_metric_families(
                    httpx.get(f"http://{address}/metrics").text
                )


@contextmanager
def watched_scene(folder: Path, days: Days, every_s: int) -> Iterator[Scene]:
    """every_s: how often Ray reports and Prometheus looks."""
    write_log(folder / "log", days.log, damaged=[days.damaged])
    (folder / "daily.yaml").write_text(yaml.safe_dump(days.config))
    told = {REPORT_MS: str(1000 * every_s), KEY_VARIABLE: API_KEY, "PYTHONPATH": CODE}
    with (
        ray_head(3, (), **told) as head,
        prometheus(head.targets, RULES, folder / "prometheus", every_s=every_s) as watching,
    ):
        asked = ["--config", str(folder / "daily.yaml"), "--day", days.wanted]
        ended = submitted(head, ["jobs/daily.py", *asked])
        assert "is promoted" in ended, ended[-2000:]
        assert "REFUSED" in ended, ended[-2000:]
        url = deployed(head, folder)
        request = (folder / "run" / "request.json").read_bytes()
        scene = Scene(head, watching, url, request)
        wait_until("the application answers", scene.healthy)
        yield scene


def submitted(head: Head, arguments: Sequence[str]) -> str:
    """What a job says, whatever its status."""
    ended = subprocess.run(
        [Path(sys.executable).parent / "ray", "job", "submit", "--", "python", *arguments],
        env=head.environment,
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
    )
    return ended.stdout + ended.stderr


def deployed(head: Head, folder: Path) -> str:
    """The application of serve_apps/ranking.yaml, one replica; its URL."""
    app = yaml.safe_load((ROOT / "serve_apps" / "ranking.yaml").read_text())
    app["http_options"].update(host="127.0.0.1", port=free_port())
    args = app["applications"][0]["args"]
    args.update(bundles=str(folder / "run" / "bundles"), follow_s=0.2)
    del args["keys_file"]  # the key is in the environment here
    app["applications"][0]["deployments"][0]["num_replicas"] = 1
    (folder / "ranking.yaml").write_text(yaml.safe_dump(app))
    head.run("serve", "deploy", str(folder / "ranking.yaml"))
    return f"http://127.0.0.1:{app['http_options']['port']}"


def damaged(request: bytes) -> bytes:
    """One that is refused."""
    asked = json.loads(request)
    del asked["candidates"]
    return json.dumps(asked).encode()
