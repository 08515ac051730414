"""Bodies are read as long as there is memory and time for them."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
from fastapi import Request
from rayrank.serve.admission import Bodies, timeout_s
from rayrank.serve.errors import RequestError
from rayrank.serve.limits import Limits

LIMITS = Limits(body_bytes=100, bodies_bytes=250, body_timeout_ms=50, timeout_ms=2000)
LATER = 3600.0


def request(
    chunks: Iterable[bytes], *, last: dict[str, Any] | None = None, **headers: str
) -> Request:
    """What an ASGI server hands over; `last` instead of an end, or nothing more at all."""

    async def messages() -> AsyncIterator[dict[str, Any]]:
        for chunk in chunks:
            yield {"type": "http.request", "body": chunk, "more_body": True}
        if last is not None:
            yield last
        await asyncio.Event().wait()

    told = [(name.replace("_", "-").lower().encode(), of.encode()) for name, of in headers.items()]
    return Request({"type": "http", "headers": told}, messages().__anext__)


END = {"type": "http.request", "body": b"", "more_body": False}


def read(bodies: Bodies, *requests: Request, within_s: float = LATER) -> list[Any]:
    """Bodies or refusals of requests that come one after the other."""

    async def all_of_them() -> list[Any]:
        deadline = time.monotonic() + within_s
        return [await bodies.read(request, deadline) for request in requests]

    return asyncio.run(all_of_them())


def refused(bodies: Bodies, *requests: Request, within_s: float = LATER) -> RequestError:
    with pytest.raises(RequestError) as caught:
        read(bodies, *requests, within_s=within_s)
    return caught.value


def test_a_body_is_held_until_it_is_released() -> None:
    bodies = Bodies(LIMITS)
    found = read(bodies, *(request([b"ab", b"c" * 98], last=END) for _ in range(2)))
    assert found == [b"ab" + b"c" * 98] * 2
    assert bodies.held == 200
    error = refused(bodies, request([b"x" * 51], last=END))
    assert (error.status, error.field, error.retry_after_s) == (503, "(load)", 1.0)
    assert bodies.held == 200
    for body in found:
        bodies.release(body)
    assert bodies.held == 0


def test_one_that_is_too_large_is_not_waited_for() -> None:
    bodies = Bodies(LIMITS)
    assert refused(bodies, request([], Content_Length="101")).status == 413
    assert refused(bodies, request([b"x" * 100, b"x"])).status == 413
    assert bodies.held == 0


@pytest.mark.parametrize("within_s", [LATER, 0.01, -1.0])
def test_one_that_is_slow_is_not_waited_for(within_s: float) -> None:
    bodies = Bodies(LIMITS)
    error = refused(bodies, request([b"x"] if within_s > 0 else []), within_s=within_s)
    assert (error.status, error.field) == (408, "(body)")
    assert bodies.held == 0


def test_one_whose_client_went_is_let_go() -> None:
    bodies = Bodies(LIMITS)
    assert refused(bodies, request([b"x"], last={"type": "http.disconnect"})).status == 499
    assert bodies.held == 0


def test_a_client_waits_as_long_as_it_says_within_the_limit() -> None:
    for sent, seconds in (
        ({}, 2.0),
        ({"X-Timeout-Ms": "5"}, 0.005),
        ({"X-Timeout-Ms": "99999"}, 2.0),
    ):
        assert timeout_s(sent, LIMITS) == seconds
