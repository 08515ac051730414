"""The application on this machine's cluster: a key, a port, and proof that it is ours."""

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from ray import serve

from rayrank.errors import ServeError
from rayrank.serve.app import build_app
from rayrank.serve.config import RankingArgs
from rayrank.serve.keys import KEY_VARIABLE, key_of_environment, keys_file_of_environment
from rayrank.serve.limits import REQUEST_TIMEOUT_S

HOST, PORT = "127.0.0.1", 8000
APP, APP_OF_CHECK = "ranking", "check"


def local_api_key(path: Path) -> str:
    """The API key from the environment, the file it names or the file `path`, made if none is
    there."""
    if KEY_VARIABLE in os.environ or keys_file_of_environment() is not None:
        return key_of_environment()
    return path.read_text() if path.exists() else _new_secret(path)


@contextmanager
def running_app(
    args: RankingArgs, key: str, name: str, route_prefix: str, *, shared: bool
) -> Iterator[str]:
    """The application at a URL, on the Serve that runs on this cluster, or on one started for it
    at port 8000 or a free one. Raises ServeError where what answers is not this application.

    Its replicas are handed the key: the environment of a Ray that runs already may lack it. shared:
    others use the cluster too, who may want a Serve on another address afterwards.
    """
    app = build_app(args, key, replicas=1)  # a second one would only take this machine's CPUs
    running = _port_of_serve()
    port = running or _free_port()
    serve.start(
        http_options={"host": HOST, "port": port, "request_timeout_s": REQUEST_TIMEOUT_S},
        logging_config={"enable_access_log": False},
    )
    try:
        serve.run(app, name=name, route_prefix=route_prefix)
        url = f"http://{HOST}:{port}{route_prefix.rstrip('/')}"
        _prove_ours(url, key)
        yield url
    finally:
        serve.delete(name)
        if shared and not running:
            serve.shutdown()


def _prove_ours(url: str, key: str) -> None:
    """Only our replicas know the key; another process that took the port does not."""
    answer = httpx.get(f"{url}/v1/models", headers={"Authorization": f"Bearer {key}"}, timeout=30)
    if answer.status_code != 200:
        raise ServeError(
            f"{url}: another process answers there ({answer.status_code}), not this application; "
            "end it, or free the port"
        )


def _port_of_serve() -> int | None:
    """The port of the Serve that runs on the cluster already; None where none does."""
    from ray.serve.context import _get_global_client  # noqa: PLC0415 - Serve tells its port nowhere else

    client = _get_global_client(raise_if_no_controller_running=False)
    return None if client is None else int(client.http_config.port)


def _free_port() -> int:
    for wanted in (PORT, 0):
        with socket.socket() as probe:
            try:
                # On every address: a listener on any of them would get some of our requests.
                probe.bind(("", wanted))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ServeError(f"no free port on {HOST}")


def _new_secret(path: Path) -> str:
    """A new secret in a file that its owner alone can read."""
    secret = secrets.token_hex(32)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(secret)
    return secret
