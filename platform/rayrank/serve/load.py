"""Load on an endpoint, in an open loop: a request leaves when it is due, whether or not others were
answered, as users do; and waiting counts from when it was due.

The generator is a process of its own, and tells how late it was itself, so that it is seen not to
be what is measured.
"""

import asyncio
import math
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from typing import NamedTuple

import aiohttp
import numpy as np

from rayrank.serve.answers import TIMEOUT_HEADER
from rayrank.serve.body import JSON
from rayrank.strict import Strict

BROKEN = 0
"""The status of a request that got no answer: refused, reset, or not answered in time."""
PATIENCE_S = 5.0
"""How long a client waits beyond its deadline, for an answer that says that it is late."""


class Sent(NamedTuple):
    """One request. Times are seconds since the load began."""

    due_s: float
    sent_s: float
    done_s: float
    status: int
    engine_ms: float
    """By `Server-Timing`: all phases but parsing; NaN unless it was scored."""


@dataclass(frozen=True)
class Plan:
    """What is asked, and when."""

    url: str
    """Of the application; `/v1/rank` is added."""
    keys: Sequence[tuple[float, str]]
    """From which second on which key is sent, ascending from 0."""
    bodies: Sequence[bytes]
    """One after the other, again from the first."""
    due_s: np.ndarray
    """float64 [requests], ascending."""
    timeout_ms: int
    path: str = "/v1/rank"


class Latency(Strict):
    """Of some requests, in ms from when they were due."""

    requests: int
    p50: float
    p90: float
    p99: float
    max: float

    @staticmethod
    def of(sent: Sequence[Sent]) -> "Latency | None":
        """None where there are none."""
        if not sent:
            return None
        ms = [1000 * (each.done_s - each.due_s) for each in sent]
        p50, p90, p99, most = np.quantile(ms, (0.5, 0.9, 0.99, 1.0)).tolist()
        return Latency(requests=len(ms), p50=p50, p90=p90, p99=p99, max=most)


class Loaded(Strict):
    """What came of a load."""

    offered_per_s: float
    seconds: float
    requests: int
    statuses: dict[int, int]
    """0 is no answer at all."""
    goodput_per_s: float
    """Requests that were scored within their deadline, by the time from the first that was due to
    the last answer or due time."""
    scored: Latency | None
    """Status 200, those that came too late too."""
    answered: Latency | None
    """Whatever the status, refusals too."""
    engine_ms: float | None
    """Median of what the engine took for what it scored, with waiting for it; None where no answer
    tells."""
    late_ms: float
    """p99 of how late the generator itself was."""

    @staticmethod
    def of(sent: Sequence[Sent], timeout_ms: float) -> "Loaded":
        """Of some requests, at least one, with that deadline."""
        told = np.array([each[:3] for each in sent])
        seconds = float(max(told[:, 2].max(), told[:, 0].max()) - told[:, 0].min()) or 1e-9
        engine = [each.engine_ms for each in sent if not math.isnan(each.engine_ms)]
        return Loaded(
            offered_per_s=len(sent) / seconds,
            seconds=seconds,
            requests=len(sent),
            statuses=dict(sorted(Counter(each.status for each in sent).items())),
            goodput_per_s=len(scored_within(sent, timeout_ms)) / seconds,
            scored=Latency.of([each for each in sent if each.status == 200]),
            answered=Latency.of([each for each in sent if each.status != BROKEN]),
            engine_ms=float(np.median(engine)) if engine else None,
            late_ms=float(np.quantile(1000 * (told[:, 1] - told[:, 0]), 0.99)),
        )


def scored_within(sent: Sequence[Sent], ms: float) -> list[Sent]:
    """Those that were scored within that time from when they were due."""
    return [each for each in sent if each.status == 200 and 1000 * (each.done_s - each.due_s) <= ms]


def poisson(per_s: float, seconds: float, seed: int = 0) -> np.ndarray:
    """When requests are due that come independently of one another, float64 seconds, ascending."""
    gaps = np.random.default_rng(seed).exponential(1 / per_s, int(2 * per_s * seconds) + 20)
    due_s = np.cumsum(gaps)
    return due_s[due_s < seconds]


@contextmanager
def generator() -> Iterator[ProcessPoolExecutor]:
    """A process that loads, warm."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        pool.submit(time.time).result()
        yield pool


def load(pool: ProcessPoolExecutor, plan: Plan) -> "Future[list[Sent]]":
    """Start it. Its requests, in the order in which they were due."""
    return pool.submit(_load, plan)


def _load(plan: Plan) -> list[Sent]:
    return asyncio.run(_all(plan))


async def _all(plan: Plan) -> list[Sent]:
    timeout = aiohttp.ClientTimeout(total=plan.timeout_ms / 1000 + PATIENCE_S)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        begun, tasks = time.monotonic(), []
        for number, due_s in enumerate(plan.due_s.tolist()):
            await asyncio.sleep(max(0.0, due_s - (time.monotonic() - begun)))
            tasks.append(asyncio.create_task(_one(session, plan, number, due_s, begun)))
        return await asyncio.gather(*tasks)


async def _one(
    session: aiohttp.ClientSession, plan: Plan, number: int, due_s: float, begun: float
) -> Sent:
    sent_s = time.monotonic() - begun
    key = next(key for since, key in reversed(plan.keys) if since <= sent_s)
    headers = {
        "Authorization": f"Bearer {key}",
        "Content-Type": JSON,
        TIMEOUT_HEADER: str(plan.timeout_ms),
    }
    body, timing = plan.bodies[number % len(plan.bodies)], ""
    try:
        async with session.post(plan.url + plan.path, data=body, headers=headers) as answer:
            await answer.read()
            status, timing = answer.status, answer.headers.get("Server-Timing", "")
    except (aiohttp.ClientError, TimeoutError):
        status = BROKEN
    return Sent(due_s, sent_s, time.monotonic() - begun, status, _engine_ms(timing))


def _engine_ms(timing: str) -> float:
    phases = re.findall(r"(\w+);dur=([\d.]+)", timing)
    return sum(float(ms) for name, ms in phases if name != "parse") if phases else float("nan")
