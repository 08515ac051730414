"""What counts as lost, who is sent to, and that a machine's end takes all of it along.

`make chaos-nodes` is minutes; here is what its counts are made of."""

import os
import shutil
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest

from bench import nodes_service
from bench.nodes_machines import Machine, machines
from bench.nodes_service import Load, Service, service

from ..clusters import wait_until

EACH = 5


class Answers:
    """A pod that breaks each fifth connection, and is ready as it is told."""

    def __init__(self) -> None:
        self.ready, self.asked, self.lock = True, Counter[str](), threading.Lock()

    def next(self) -> str:
        with self.lock:
            number = self.asked.total()
            kind = "broken" if number % EACH == 0 else "503" if number % EACH == 1 else "200"
            self.asked[kind] += 1
            return kind


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    told = Answers()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if told.ready else 503)
            self.end_headers()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            kind = told.next()
            if kind != "broken":  # else the connection ends without a word
                self.send_response(int(kind))
                self.send_header("Content-Length", "0")
                self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(nodes_service, "PORT", server.server_address[1])
    monkeypatch.setattr(nodes_service, "PROBE_S", 0.1)
    monkeypatch.setattr(nodes_service, "LAG_S", 0.1)
    monkeypatch.setattr(nodes_service, "PAUSE_S", 0.02)
    yield told
    server.shutdown()
    server.server_close()


class Pod(NamedTuple):
    """Of which a Service wants an address alone."""

    address: str = "127.0.0.1"


def ready(front: Service) -> bool:
    return bool(front.ready())


def test_whatever_is_not_200_is_lost(answers: Answers) -> None:
    with service() as front:
        front.add(cast(Machine, Pod()))
        wait_until("it is ready", lambda: ready(front))
        load = Load(front, [b"{}"], "key")
        wait_until("some are asked", lambda: answers.asked.total() > 50)
        lost = load.end()
    assert lost.requests == answers.asked.total()
    assert lost.how["200"] == answers.asked["200"] == lost.requests - lost.lost
    assert lost.how["503"] == answers.asked["503"]
    # A connection that ends breaks in more than one way.
    assert lost.lost == answers.asked["503"] + answers.asked["broken"]


def test_who_is_ready_is_sent_to(answers: Answers) -> None:
    pod = cast(Machine, Pod())
    with service() as front:
        answers.ready = False
        front.add(pod)
        load = Load(front, [b"{}"], "key")
        answers.ready = True
        wait_until("it is ready", lambda: ready(front))
        wait_until("it is sent to", lambda: answers.asked.total() > 0)
        front.remove(pod)
        wait_until("it is no endpoint any more", lambda: not ready(front))
        lost = load.end()
    # Before it was ready, a request is lost too: nobody was there.
    assert lost.how["no pod is ready"] > 0
    assert lost.requests == answers.asked.total() + lost.how["no pod is ready"]


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None,
    reason="network namespaces need root and iproute2",
)
def test_a_machine_that_fails_takes_all_along(tmp_path: Path) -> None:
    with machines(tmp_path) as made:
        first, second = made.add(), made.add()
        listen = "import socket, time; s = socket.create_server(('', 7)); print(1, flush=True)"
        serve = f"{listen}; time.sleep(600)"
        environment = {**os.environ, "WORK": str(tmp_path)}
        child = first.start([sys.executable, "-c", serve], environment, "child")
        log = tmp_path / f"{first.name}-child.log"
        wait_until("it listens", lambda: log.read_text() != "")
        reach = f"import socket; socket.create_connection(('{first.address}', 7), 5)"
        assert second.start([sys.executable, "-c", reach], environment, "reach").wait() == 0
        first.stop()
        assert child.wait() != 0
        assert second.start([sys.executable, "-c", reach], environment, "again").wait() != 0
        assert (first.address, first.processes()) == ("10.77.0.2", [])
