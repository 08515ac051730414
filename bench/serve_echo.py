"""What HTTP costs at light load, beside an echo of the same body on the same Ray Serve."""

import http.client
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from fastapi import Request, Response
from ray import serve
from rayrank.errors import ServeError

ECHO, ECHO_PREFIX = "echo", "/echo"
WARM = 50
"""Requests before those that count."""
LIGHT_S = 0.01
"""Before each request nothing happens for so long: what the application does for the one before,
once that is answered, is done by then, and slows no other."""


@serve.deployment(max_ongoing_requests=4096, max_queued_requests=4096)
class Echo:
    """Answers with the body that it is sent."""

    async def __call__(self, request: Request) -> Response:
        return Response(await request.body())


@contextmanager
def echo(url: str) -> Iterator[str]:
    """An echo beside the application that answers at `url`: its own URL."""
    parts = urlsplit(url)
    deployment: Any = Echo
    serve.run(deployment.bind(), name=ECHO, route_prefix=ECHO_PREFIX)
    try:
        yield f"{parts.scheme}://{parts.netloc}{ECHO_PREFIX}"
    finally:
        serve.delete(ECHO)


class Client:
    """One connection, which stays open."""

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.netloc, timeout=30)
        self._path, self._headers = parts.path, {"Authorization": f"Bearer {key}"}

    def post(self, path: str, body: bytes) -> tuple[float, dict[str, float]]:
        """Ms that it took, and those of the phases that the answer tells."""
        begun = time.perf_counter()
        self._connection.request("POST", self._path + path, body, self._headers)
        answer = self._connection.getresponse()
        content = answer.read()
        took_ms = 1000 * (time.perf_counter() - begun)
        if answer.status != 200:
            raise ServeError(f"{self._path}{path}: {answer.status}, {content[:200]!r}")
        phases = re.findall(r"(\w+);dur=([\d.]+)", answer.headers.get("Server-Timing", ""))
        return took_ms, {name: float(ms) for name, ms in phases}


def http_over_echo(url: str, echo_url: str, key: str, body: bytes, requests: int) -> dict[str, Any]:
    """One request at a time, in turns: the median of an answer's time less the engine's (which is
    all phases but parsing), over the median of the echo's."""
    app, other = Client(url, key), Client(echo_url, key)
    times: dict[str, list[float]] = {"around_engine": [], "parse": [], "engine": [], "echo": []}
    for _ in range(WARM + requests):
        time.sleep(LIGHT_S)
        took_ms, phases = app.post("/v1/rank", body)
        parse_ms = phases.pop("parse")
        engine_ms = sum(phases.values())
        time.sleep(LIGHT_S)
        echo_ms, _ = other.post("", body)
        each = (took_ms - engine_ms, parse_ms, engine_ms, echo_ms)
        for of, ms in zip(times.values(), each, strict=True):
            of.append(ms)
    medians = {name: median(of[WARM:]) for name, of in times.items()}
    return {
        "http_over_echo": medians["around_engine"] / medians["echo"],
        "ms": medians,
        "body_bytes": len(body),
        "requests": requests,
    }
