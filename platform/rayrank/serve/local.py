"""The endpoint on this machine: a key, a free port, a cluster of one's own."""

import os
import socket
from pathlib import Path

from ray import serve

from rayrank.run.terminal import write_secret
from rayrank.serve.app import KEY_VARIABLE, RankingArgs, build_app
from rayrank.serve.limits import REQUEST_TIMEOUT_S

HOST, PORT = "127.0.0.1", 8000
APP = "ranking"


def local_api_key(run_dir: Path) -> str:
    """The API key from the environment or `run_dir/api-key`, made if neither is there; in the
    environment afterwards. Call it before Ray starts, so that replicas inherit it."""
    if KEY_VARIABLE not in os.environ:
        path = run_dir / "api-key"
        os.environ[KEY_VARIABLE] = path.read_text() if path.exists() else write_secret(path)
    return os.environ[KEY_VARIABLE]


def start_locally(args: RankingArgs) -> str:
    """Run the application until `serve.delete(APP)`; returns its URL. Port 8000, or a free one."""
    port = _free_port()
    serve.start(
        http_options={"host": HOST, "port": port, "request_timeout_s": REQUEST_TIMEOUT_S},
        logging_config={"enable_access_log": False},
    )
    serve.run(build_app(args), name=APP)
    return f"http://{HOST}:{port}"


def _free_port() -> int:
    for wanted in (PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, wanted))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError(f"no free port on {HOST}")
