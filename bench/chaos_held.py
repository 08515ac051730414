"""Requests that are certainly under way: their bodies are half sent, until told to go on."""

import http.client
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from urllib.parse import urlsplit

from bench.chaos_stage import Stage

LATER = 3


class Held:
    """Such requests."""

    def __init__(self, stage: Stage, connections: list[http.client.HTTPConnection]) -> None:
        self._connections, self._body = connections, stage.bodies[0]
        half = len(self._body) // 2
        for connection in connections:
            connection.putrequest("POST", "/v1/rank")
            connection.putheader("Authorization", f"Bearer {stage.key}")
            connection.putheader("Content-Length", str(len(self._body)))
            connection.endheaders(self._body[:half])
        for _ in range(LATER):  # requests that came later were answered: these are with replicas
            stage.version()

    def answers(self) -> list[int]:
        """Send the rest: their statuses, 0 for no answer."""
        for connection in self._connections:
            connection.send(self._body[len(self._body) // 2 :])
        return [_status(connection) for connection in self._connections]


@contextmanager
def held(stage: Stage, count: int) -> Iterator[Held]:
    """So many, whose connections are closed on leaving."""
    with ExitStack() as opened:
        connections = [
            opened.enter_context(
                closing(http.client.HTTPConnection(urlsplit(stage.url).netloc, timeout=30))
            )
            for _ in range(count)
        ]
        yield Held(stage, connections)


def _status(connection: http.client.HTTPConnection) -> int:
    try:
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
