"""What an endpoint answers at 70, 100 and 300 % of what it can, in open loops."""

import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import httpx
import ray
from prometheus_client.parser import text_string_to_metric_families
from rayrank.errors import ServeError
from rayrank.infer.engine import PACED, tokens_of
from rayrank.infer.warm import example_visits
from rayrank.serve.load import Loaded, Plan, Sent, load, poisson

from bench.engine_rows import SCHEMA
from bench.serve_echo import Client

SHARES = (0.7, 1.0, 3.0)
LONGEST_MS = 9_000
"""A deadline that lets many requests wait: saturation is measured with it."""
PAUSE_S = 0.5
"""Between loads, until nothing waits any more."""
TOLD_S = 60.0
"""How long Ray's exporter may take: it is told every 10 s."""
ALONE = 4
"""Requests one after the other, by which the load that saturates is chosen."""


@dataclass(frozen=True)
class Endpoint:
    """What is asked."""

    url: str
    echo_url: str
    key: str
    version: str
    """Of the bundle that is served."""
    bodies: Sequence[bytes]
    """Of users who all differ."""


@dataclass(frozen=True)
class Loads:
    """For how long, and with what deadline."""

    seconds: float
    """Of each load."""
    rounds: int
    """In each, all shares have their turn: what else runs on the machine is shared by them."""
    timeout_ms: int


def saturate(
    pool: ProcessPoolExecutor, endpoint: Endpoint, seconds: float, tokens: int
) -> tuple[Loaded, float]:
    """An open loop of three times as much as one request after the other would take, with a long
    deadline; and the tokens of a batch meanwhile, of requests that have `tokens` each."""
    client = Client(endpoint.url, endpoint.key)
    alone_ms = [client.post("/v1/rank", body)[0] for body in endpoint.bodies[:ALONE]]
    sent = _open_loop(pool, endpoint, 3000 / min(alone_ms), seconds, LONGEST_MS)
    found = Loaded.of(sent, LONGEST_MS)
    visits = [tokens_of(rows) for rows in example_visits(SCHEMA)]
    warmed = [*visits, *(count * visits[-1] for count in PACED)]
    before = _Batches(len(warmed) + ALONE, sum(warmed) + ALONE * tokens)
    after = _told(endpoint.version, before.tokens + tokens * found.statuses.get(200, 0))
    return found, (after.tokens - before.tokens) / (after.batches - before.batches)


def overload(
    pool: ProcessPoolExecutor, endpoint: Endpoint, capacity_per_s: float, loads: Loads
) -> dict[str, Any]:
    """Goodput and p99 at each share of the capacity, and whether an echo of the same bodies, to
    which Ray's proxy is the limit, holds the highest."""
    sent: dict[float, list[Sent]] = {share: [] for share in SHARES}
    for seed in range(loads.rounds):
        for share, so_far in sent.items():
            rate = share * capacity_per_s
            more = _open_loop(pool, endpoint, rate, loads.seconds, loads.timeout_ms, seed=seed)
            sent[share] = so_far + _after(so_far, more)
    found = {share: Loaded.of(each, loads.timeout_ms) for share, each in sent.items()}
    rate = SHARES[-1] * capacity_per_s
    echoes = _open_loop(pool, endpoint, rate, loads.seconds, loads.timeout_ms, echo=True)
    echoed = Loaded.of(echoes, loads.timeout_ms)
    at_70, at_100, at_300 = found.values()
    return {
        "goodput_300_over_100": at_300.goodput_per_s / at_100.goodput_per_s,
        "p99_accepted_300_over_70": _p99(at_300) / _p99(at_70),
        "echo_holds_300": echoed.goodput_per_s / echoed.offered_per_s,
        "capacity_per_s": capacity_per_s,
        "timeout_ms": loads.timeout_ms,
        "loads": {f"{100 * share:.0f}": of.model_dump() for share, of in found.items()},
        "echo": echoed.model_dump(),
    }


def _p99(found: Loaded) -> float:
    if found.scored is None:
        raise ServeError(f"nothing was scored: {found.statuses}")
    return found.scored.p99


class _Batches(NamedTuple):
    """What Ray's exporter tells of a version."""

    batches: float
    tokens: float


def _batches(version: str) -> _Batches:
    (node,) = ray.nodes()
    address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    counted: defaultdict[str, float] = defaultdict(float)
    for family in text_string_to_metric_families(httpx.get(address, timeout=30).text):
        for sample in family.samples:
            if sample.labels.get("version") == version:
                counted[sample.name] += sample.value
    return _Batches(counted["ray_rayrank_batches_total"], counted["ray_rayrank_batch_tokens_total"])


def _told(version: str, tokens: float) -> _Batches:
    """Once the exporter, which is some seconds late, tells of so many."""
    begun = time.monotonic()
    while (told := _batches(version)).tokens < tokens:
        if time.monotonic() - begun > TOLD_S:
            raise ServeError(f"Ray's exporter tells {told}, not {tokens:.0f} tokens")
        time.sleep(1)
    return told


def _open_loop(
    pool: ProcessPoolExecutor,
    endpoint: Endpoint,
    per_s: float,
    seconds: float,
    timeout_ms: int,
    *,
    seed: int = 0,
    echo: bool = False,
) -> list[Sent]:
    plan = Plan(
        url=endpoint.echo_url if echo else endpoint.url,
        keys=[(0.0, endpoint.key)],
        bodies=endpoint.bodies,
        due_s=poisson(per_s, seconds, seed),
        timeout_ms=timeout_ms,
        path="" if echo else "/v1/rank",
    )
    sent = load(pool, plan).result()
    time.sleep(PAUSE_S)
    return sent


def _after(before: list[Sent], more: list[Sent]) -> list[Sent]:
    """As if the second load had begun when the first one ended."""
    begun = max((max(each.done_s, each.due_s) for each in before), default=0.0)
    return [
        each._replace(
            due_s=begun + each.due_s, sent_s=begun + each.sent_s, done_s=begun + each.done_s
        )
        for each in more
    ]
