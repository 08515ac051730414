"""An endpoint whose keys are a mounted secret: exchanged over HTTP, without a new replica."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from ray import serve
from rayrank.serve.app import build_app
from rayrank.serve.config import RankingArgs

from .app_client import Client
from .mounted import Mounted

OLD, NEW = secrets.token_hex(16), secrets.token_hex(16)


@pytest.fixture
def mounted(tmp_path: Path) -> Mounted:
    return Mounted(tmp_path / "secret", "api-key", OLD)


@pytest.fixture
def url(client: Client, bundles: Path, mounted: Mounted) -> Iterator[str]:
    """Of an application beside the module's own, which knows another key."""
    args = RankingArgs(bundles=str(bundles), keys_file=str(mounted.file))
    serve.run(build_app(args, replicas=1), name="mounted", route_prefix="/mounted")
    yield f"{client.http.base_url}/mounted/v1/models"
    serve.delete("mounted")


def status(url: str, key: str) -> int:
    return httpx.get(url, headers={"Authorization": f"Bearer {key}"}, timeout=60).status_code


def test_keys_are_exchanged_without_a_restart(url: str, mounted: Mounted) -> None:
    assert (status(url, OLD), status(url, NEW)) == (200, 401)
    mounted.exchange(f"{OLD}\n{NEW}\n")
    assert (status(url, OLD), status(url, NEW)) == (200, 200)
    mounted.exchange(NEW)
    assert (status(url, OLD), status(url, NEW)) == (401, 200)
