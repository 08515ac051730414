"""Loads on an endpoint at several rates, and what came of each."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from typing import Any

import httpx

from rayrank.errors import ServeError
from rayrank.serve.load import Loaded, Plan, load, poisson, scored_within
from rayrank.strict import Strict

BOUND_MS = 80.0
"""MLPerf's bound on the p99 of DLRM-v3's server scenario."""


class AtRate(Strict):
    """What came of a load at one rate."""

    per_s: float
    """That was asked for; `loaded` has what was offered."""
    within_80_ms: float
    """Share of all requests that were scored within that time from when they were due."""
    loaded: Loaded


class LoadReport(Strict):
    """What came of loads at several rates."""

    url: str
    model: dict[str, str]
    """Name, version and schema of what was served before the load."""
    requests: str
    """What was asked."""
    seconds: float
    """Of each load."""
    timeout_ms: int
    rates: list[AtRate]

    def table(self) -> str:
        """A line for each rate: latencies of what was scored, and p99 of all that was answered."""
        head = (
            "   asked  offered  goodput     p50     p90     p99     max  within     p99    late"
            "  statuses\n"
            "      /s       /s       /s      ms      ms      ms      ms   80 ms  of all      ms"
        )
        return "\n".join([head, *(_line(each) for each in self.rates)])


def served_model(url: str, key: str) -> dict[str, Any]:
    """What `/v1/models` tells of the current version. Raises ServeError where nobody answers, or
    not with that."""
    try:
        answer = httpx.get(
            f"{url}/v1/models", headers={"Authorization": f"Bearer {key}"}, timeout=30
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ServeError(f"{url}: nobody answers: {error}") from None
    if answer.status_code == 401:
        raise ServeError(f"{url}: refuses the key (401)")
    if answer.status_code != 200:
        raise ServeError(f"{url}/v1/models: answers {answer.status_code}, not 200")
    try:
        models: list[dict[str, Any]] = answer.json()["models"]
        return next(model for model in models if model["role"] == "current")
    except (ValueError, LookupError, TypeError, StopIteration):
        raise ServeError(f"{url}/v1/models: another application answers there") from None


def load_at(
    pool: ProcessPoolExecutor,
    url: str,
    key: str,
    bodies: Iterator[bytes],
    per_s: float,
    seconds: float,
    timeout_ms: int,
) -> AtRate:
    """One load; a body for each request is taken from `bodies`. Raises ServeError where no request
    is due in so short a time."""
    due_s = poisson(per_s, seconds)
    if not len(due_s):
        raise ServeError(f"at {per_s:g}/s no request is due within {seconds:g} s; take longer")
    told = list(islice(bodies, len(due_s)))
    sent = load(pool, Plan(url, [(0.0, key)], told, due_s, timeout_ms)).result()
    return AtRate(
        per_s=per_s,
        within_80_ms=len(scored_within(sent, BOUND_MS)) / len(sent),
        loaded=Loaded.of(sent, timeout_ms),
    )


def _line(at: AtRate) -> str:
    of = at.loaded
    scored, every = of.scored, of.answered
    times = (scored.p50, scored.p90, scored.p99, scored.max) if scored else (None,) * 4
    statuses = ", ".join(
        f"{count} of {status or 'no answer'}" for status, count in of.statuses.items()
    )
    return (
        f"{at.per_s:8.1f} {of.offered_per_s:8.1f} {of.goodput_per_s:8.1f}"
        f"{''.join(map(_ms, times))}{at.within_80_ms:8.1%}{_ms(every.p99 if every else None)}"
        f"{_ms(of.late_ms)}  {statuses}"
    )


def _ms(value: float | None) -> str:
    return f"{'-':>8}" if value is None else f"{value:8.1f}"
