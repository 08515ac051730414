"""What good requests wait while others besiege the endpoint."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from urllib.parse import urlsplit

import httpx
from rayrank.strict import Strict

from bench.chaos_load import Asked, Counts, Load, Steady, counts, steady_load
from bench.chaos_outcome import Outcome
from bench.chaos_siege_clients import Kind, siege
from bench.chaos_stage import Stage

HEALTH_EVERY_S, HEALTH_WITHIN_S = 0.25, 10.0


@dataclass(frozen=True)
class Besiegers:
    """How many there are of each kind."""

    slow: int = 600
    idle: int = 1000
    large: int = 4

    def kinds(self) -> list[tuple[Kind, int]]:
        """In order."""
        return [("slow", self.slow), ("idle", self.idle), ("large", self.large)]


class Health(Strict):
    """Of /healthz, asked again and again, on a new connection each time."""

    asked: int
    answered: int
    """With 200."""
    slowest_ms: float


class Of(Strict):
    """One siege."""

    clients: int
    opened: int
    refused: int
    statuses: dict[int, int]
    good: Counts
    p50_ms: float
    quiet_p50_ms: float
    """Right before it."""
    p50_over_quiet: float
    """Asked: at most 2; no count, so that it sets no exit status."""
    health: Health


class Sieges(Outcome):
    """All of them; none may cost a good request."""

    slow: Of
    idle: Of
    large: Of

    def faults(self) -> list[str]:
        told = super().faults()
        for name, of in (("slow", self.slow), ("idle", self.idle), ("large", self.large)):
            if lost := of.health.asked - of.health.answered:
                told.append(f"{name}: {lost} of {of.health.asked} of /healthz not answered")
        return told


def besiege(stage: Stage, steady: Steady, besiegers: Besiegers) -> Sieges:
    """One kind after the other, each after half as long without any."""
    half = steady._replace(requests=steady.requests // 2)
    stage.demand(replicas=2)
    asked: list[Asked] = []
    found: dict[Kind, Of] = {}
    for kind, count in besiegers.kinds():
        with steady_load(stage, half) as quiet:
            pass
        where = urlsplit(stage.url)
        assert where.hostname is not None
        assert where.port is not None
        with (
            siege(kind, count, where.hostname, where.port, stage.key) as besieged,
            health(stage.url) as healthy,
            steady_load(stage, steady) as load,
        ):
            pass
        quiet_ms, besieged_ms = _p50_ms(quiet), _p50_ms(load)
        asked += quiet.asked + load.asked
        found[kind] = Of(
            clients=count,
            opened=besieged.opened,
            refused=besieged.refused,
            statuses=dict(sorted(besieged.statuses.items())),
            good=load.counts(),
            p50_ms=besieged_ms,
            quiet_p50_ms=quiet_ms,
            p50_over_quiet=besieged_ms / quiet_ms,
            health=healthy.pop(),
        )
    return Sieges(asked=counts(asked), slow=found["slow"], idle=found["idle"], large=found["large"])


@contextmanager
def health(url: str) -> Iterator[list[Health]]:
    """It is asked meanwhile; what came of it is in the list on leaving."""
    over, took_ms = threading.Event(), list[tuple[bool, float]]()
    found: list[Health] = []

    def ask() -> None:
        while not over.wait(HEALTH_EVERY_S):
            begun = time.monotonic()
            try:
                answered = httpx.get(f"{url}/healthz", timeout=HEALTH_WITHIN_S).status_code == 200
            except httpx.HTTPError:
                answered = False
            took_ms.append((answered, 1000 * (time.monotonic() - begun)))

    thread = threading.Thread(target=ask, name="health", daemon=True)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()
    found.append(
        Health(
            asked=len(took_ms),
            answered=sum(answered for answered, _ in took_ms),
            slowest_ms=max(ms for _, ms in took_ms),
        )
    )


def _p50_ms(load: Load) -> float:
    ms = [1000 * (each.done - each.due) for each in load.asked if each.status == 200]
    return median(ms) if ms else float("nan")
