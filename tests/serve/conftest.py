"""The application on a real Ray Serve, asked over real HTTP."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from ray import serve
from ray.serve.schema import TracingConfig
from rayrank.serve.app import build_app
from rayrank.serve.config import RankingArgs
from rayrank.versions import CURRENT, name_version

from ..clusters import API_KEY, KEY_VARIABLE, free_port
from ..infer.bundles import trained, write
from .app_client import LIMITS, Client, scrape


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of one version, which is current."""
    bundles = tmp_path_factory.mktemp("app") / "bundles"
    name_version(bundles, CURRENT, write(bundles, trained("mtgr"), "mtgr").version)
    return bundles


@pytest.fixture(scope="module")
def client(ray_cluster: None, bundles: Path) -> Iterator[Client]:
    serve.shutdown()  # of one that an earlier test left on another port
    port = free_port()
    serve.start(
        http_options={"host": "127.0.0.1", "port": port, "request_timeout_s": 120},
        tracing_config=TracingConfig(enabled=True, sampling_ratio=1.0),
    )
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(KEY_VARIABLE, API_KEY)
        serve.run(build_app(RankingArgs(bundles=str(bundles), limits=LIMITS), replicas=1))
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
        yield Client(http, scrape({}))
    serve.shutdown()
