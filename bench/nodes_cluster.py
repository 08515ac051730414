"""A Ray cluster as the RayService of k8s/base has it, each pod a machine of its own."""

import json
import secrets
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import yaml

from bench import chaos_stage
from bench.nodes_machines import Machine, Machines

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
GCS, DASHBOARD = 6379, 8265
PATIENCE_S = 300.0


def manifest() -> dict[str, Any]:
    """The RayService's spec."""
    text = (ROOT / "k8s" / "base" / "rayservice.yaml").read_text()
    spec: dict[str, Any] = yaml.safe_load(text)["spec"]
    return spec


class Cluster:
    """Head, workers, a token; what it must not forget lies in Redis."""

    def __init__(
        self, made: Machines, environment: Mapping[str, str], redis: str, password: str
    ) -> None:
        self._machines = made
        self.head = made.add()
        self.workers: list[Machine] = []
        self.token = secrets.token_hex(32)
        self.environment = {
            **environment,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self.token,
            "RAY_ADDRESS": f"{self.head.address}:{GCS}",
        }
        # KubeRay tells the head alone: its own part of Redis is the cluster's uid.
        self._of_head = {
            "RAY_REDIS_ADDRESS": redis,
            "RAY_external_storage_namespace": uuid.uuid4().hex,
        }
        self._password = password
        self.start_head()

    def start_head(self) -> None:
        """For the first time, or once more: it finds in Redis what it was."""
        self._start(
            self.head,
            "--head",
            f"--port={GCS}",
            f"--redis-password={self._password}",
            "--dashboard-host=0.0.0.0",
            "--num-cpus=0",
        )
        until("the dashboard answers", lambda: self.get("/api/version").status_code == 200)

    def add_worker(self) -> Machine:
        """As the autoscaler would, of one CPU."""
        machine = self._machines.add()
        self.workers.append(machine)
        self._start(machine, f"--address={self.head.address}:{GCS}", "--num-cpus=1")
        return machine

    def _start(self, machine: Machine, *told: str) -> None:
        # A pod begins with an empty disk.
        disk = tempfile.mkdtemp(prefix=f"{machine.name}-", dir=machine.folder)
        of_head = self._of_head if machine is self.head else {}
        machine.start(
            [
                str(BIN / "ray"),
                "start",
                "--block",
                *told,
                f"--node-ip-address={machine.address}",
                f"--temp-dir={disk}",
                "--disable-usage-stats",
            ],
            self.environment
            | of_head
            # As on the workers of the manifest.
            | {"RAY_gcs_rpc_server_reconnect_timeout_s": "600"},
            "ray",
        )

    def get(self, path: str) -> httpx.Response:
        """Of the dashboard."""
        return httpx.get(f"{self._dashboard}{path}", headers=self._headers, timeout=30)

    def deploy(self, config: Mapping[str, Any]) -> None:
        """As the operator does it."""
        answer = httpx.put(
            f"{self._dashboard}/api/serve/applications/",
            headers=self._headers,
            content=json.dumps(config),
            timeout=60,
        )
        answer.raise_for_status()

    def replicas(self) -> dict[str, str]:
        """Id -> address of the node, of those that run."""
        told = self.get("/api/serve/applications/").json()["applications"]
        of = [
            r for app in told.values() for d in app["deployments"].values() for r in d["replicas"]
        ]
        return {r["replica_id"]: r["node_ip"] for r in of if r["state"] == "RUNNING"}

    def leave(self, machine: Machine) -> subprocess.Popen[bytes]:
        """What the manifest runs before the pod stops."""
        group = manifest()["rayClusterConfig"]["workerGroupSpecs"][0]
        (container,) = group["template"]["spec"]["containers"]
        command = container["lifecycle"]["preStop"]["exec"]["command"]
        assert command[:2] == ["sh", "-c"]
        return machine.start(
            ["sh", "-c", command[2].removesuffix(" > /proc/1/fd/1 2>&1")],
            self.environment,
            "leave",
        )

    @property
    def _dashboard(self) -> str:
        return f"http://{self.head.address}:{DASHBOARD}"

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def stop(self) -> None:
        """All of it, at once."""
        for machine in (*self.workers, self.head):
            machine.stop()


def until(what: str, happened: Callable[[], bool]) -> None:
    """Wait for it, also where nobody answers yet. Raises ServeError after PATIENCE_S."""

    def seen() -> bool:
        try:
            return happened()
        except httpx.HTTPError:
            return False

    chaos_stage.until(what, seen, patience_s=PATIENCE_S)
