"""What is let in: bodies as long as there is memory for them, work that can be done in time."""

import asyncio
import re
import time
from collections.abc import Mapping

from fastapi import Request
from starlette.requests import ClientDisconnect

from rayrank.infer.engine import Engine
from rayrank.serve.answers import TIMEOUT_HEADER
from rayrank.serve.errors import RequestError
from rayrank.serve.limits import Limits


def timeout_s(headers: Mapping[str, str], limits: Limits) -> float:
    """How long the client waits: what it says, within the limit. Raises RequestError."""
    sent = headers.get(TIMEOUT_HEADER)
    if sent is None:
        return limits.timeout_ms / 1000
    if not re.fullmatch(r"[0-9]{1,9}", sent) or int(sent) == 0:
        raise RequestError(422, TIMEOUT_HEADER, "expected whole milliseconds, from 1")
    return min(int(sent), limits.timeout_ms) / 1000


def admit(engine: Engine, tokens: int, deadline: float) -> None:
    """Refuse at once, with 503, what would only be late: others can be answered meanwhile.

    tokens: of the request, or 0 while they are not known. deadline: of `time.monotonic`.
    """
    takes, left = engine.expected_s(tokens), deadline - time.monotonic()
    if takes > left:
        told = f"would take {takes:.2f} s with what waits, and {max(left, 0.0):.2f} s are left"
        raise RequestError(503, "(load)", told, takes - left)


class Bodies:
    """Reads bodies, and knows how much memory all of them take. For one event loop."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.held = 0
        """Bytes, of all that arrive or wait to be parsed."""

    async def read(self, request: Request, deadline: float) -> bytes:
        """A body, which counts as held until `release`. Raises RequestError (408, 413, 503), and
        then holds nothing."""
        most = self.limits.body_bytes
        told = request.headers.get("Content-Length", "")
        if told.isdecimal() and int(told) > most:  # before any of it is waited for
            raise RequestError(413, "(body)", f"is larger than {most} bytes")
        body = bytearray()
        arrives_s = min(self.limits.body_timeout_ms / 1000, deadline - time.monotonic())
        try:
            async with asyncio.timeout(arrives_s):
                async for chunk in request.stream():
                    self._hold(len(chunk))
                    body += chunk
                    if len(body) > most:
                        raise RequestError(413, "(body)", f"is larger than {most} bytes")
        except BaseException as error:
            self.release(body)
            if isinstance(error, TimeoutError):
                told = f"did not arrive within {arrives_s:.1f} s"
                raise RequestError(408, "(body)", told) from None
            if isinstance(error, ClientDisconnect):
                raise RequestError(499, "(body)", "its client went") from None
            raise
        return bytes(body)

    def release(self, body: bytes | bytearray) -> None:
        """It is not held any more."""
        self.held -= len(body)

    def _hold(self, more: int) -> None:
        if self.held + more > self.limits.bodies_bytes:
            raise RequestError(503, "(load)", "too many bodies arrive at once", 1.0)
        self.held += more
