"""A real S3 server on this machine (moto's), in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import s3fs

from .clusters import free_port, wait_until


@contextmanager
def s3_server() -> Iterator[None]:
    """The server, and the environment in which fsspec, pyarrow and child processes find it."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    variables = {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    before = {name: os.environ.get(name) for name in variables}
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def answers() -> bool:
        assert server.poll() is None, f"moto ended with {server.returncode}"
        try:
            return httpx.get(f"{url}/moto-api/data.json").status_code == 200
        except httpx.HTTPError:
            return False

    try:
        wait_until("the S3 server answers", answers)
        os.environ.update(variables)
        s3fs.S3FileSystem.clear_instance_cache()
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        s3fs.S3FileSystem.clear_instance_cache()
        server.terminate()
        server.wait(30)
