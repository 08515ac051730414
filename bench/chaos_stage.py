"""Where chaos is made: the application on a Serve of its own, with what scenarios change of it."""

import secrets
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
from ray import serve
from ray.serve.context import _get_global_client
from rayrank.errors import ServeError
from rayrank.serve.app import RankingApp
from rayrank.serve.config import RankingArgs
from rayrank.serve.limits import REQUEST_TIMEOUT_S
from rayrank.serve.load import generator
from rayrank.storage import fingerprint

from bench.chaos_bundles import small_bodies
from bench.serve_rows import random_bundles

APP = "chaos"
FOLLOW_S = 0.5
PATIENCE_S = 180.0
IN_A_ROW = 20
"""Answers of the same kind after which no replica is taken to answer another way."""


@dataclass
class Stage:
    """An endpoint, and what there is to change it with."""

    url: str
    pool: ProcessPoolExecutor
    bundles: Path
    versions: Sequence[str]
    """The first is current whenever no scenario runs."""
    keys_file: Path
    key: str
    """Which is valid now; a scenario may exchange it."""
    bodies: Sequence[bytes]
    args: RankingArgs
    seen: set[str] = field(default_factory=set)
    """Versions in answers to requests of this process."""

    def deploy(self, replicas: int) -> None:
        """As `args` say; returns once all replicas are ready. None is replaced unless `args`
        changed, as with `serve deploy`."""
        deployment: Any = RankingApp
        changed = deployment.options(
            num_replicas=replicas,
            # Logical CPUs are not what is tried: any cluster has room for these replicas.
            ray_actor_options={"num_cpus": 0},
            # `serve.run` takes whatever it is told for new code, unless its version is the same.
            version=fingerprint(self.args.model_dump(mode="json")),
            _internal=True,
        )
        serve.run(changed.bind(self.args.model_dump(mode="json"), None), name=APP)

    def demand(self, replicas: int) -> None:
        """See to it that so many run, and no others."""
        if len(self.replicas()) != replicas:
            self.deploy(replicas)
        until(f"{replicas} replicas run", lambda: len(self.replicas()) == replicas)

    def replicas(self) -> dict[str, int]:
        """Id -> process of those that run."""
        applications = _get_global_client().get_serve_details()["applications"]
        found = applications[APP]["deployments"]["RankingApp"]["replicas"]
        return {of["replica_id"]: of["pid"] for of in found if of["state"] == "RUNNING"}

    def ask(self, path: str, key: str | None = None, body: bytes | None = None) -> httpx.Response:
        """One request on a connection of its own; a body is posted."""
        headers = {"Authorization": f"Bearer {key or self.key}"}
        method = "GET" if body is None else "POST"
        return httpx.request(method, self.url + path, headers=headers, content=body, timeout=30)

    def version(self) -> str:
        """Of what answers a request now. Raises ServeError where it is not scored."""
        answer = self.ask("/v1/rank", body=self.bodies[0])
        if answer.status_code != 200:
            raise ServeError(f"{self.url}: {answer.status_code}, {answer.text:.200}")
        version = str(orjson.loads(answer.content)["model"]["version"])
        self.seen.add(version)
        return version


@contextmanager
def stage() -> Iterator[Stage]:
    """Two replicas on the Ray that runs, at a free port; ends the Serve that ran there before."""
    serve.shutdown()
    port = _free_port()
    serve.start(
        http_options={"host": "127.0.0.1", "port": port, "request_timeout_s": REQUEST_TIMEOUT_S},
        logging_config={"enable_access_log": False},
    )
    with tempfile.TemporaryDirectory(prefix="rayrank-chaos-") as folder, generator() as pool:
        bundles, keys_file = Path(folder) / "bundles", Path(folder) / "keys"
        key = secrets.token_hex(16)
        keys_file.write_text(f"{key}\n")
        versions = random_bundles(bundles, "tiny", count=2)
        args = RankingArgs(
            bundles=str(bundles), follow_s=FOLLOW_S, threads=1, keys_file=str(keys_file)
        )
        made = Stage(
            f"http://127.0.0.1:{port}",
            pool,
            bundles,
            versions,
            keys_file,
            key,
            small_bodies(),
            args,
        )
        try:
            made.deploy(replicas=2)
            yield made
        finally:
            serve.shutdown()


def until(
    what: str,
    happened: Callable[[], bool],
    *,
    in_a_row: int = 1,
    patience_s: float = PATIENCE_S,
) -> None:
    """Wait for it, so often in a row. Raises ServeError after so long."""
    before, times = time.monotonic() + patience_s, 0
    while times < in_a_row:
        times = times + 1 if happened() else 0
        if not times:
            if time.monotonic() > before:
                raise ServeError(f"waited {patience_s:.0f} s: {what}")
            time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
