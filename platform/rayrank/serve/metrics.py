"""What a replica tells Prometheus, through Ray's exporter: `series` says what each is."""

from collections import Counter as Counts
from collections.abc import Mapping

from ray.serve.metrics import Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rayrank.infer.engine import Counts as EngineCounts
from rayrank.serve import series
from rayrank.serve.served import Served

GONE = "499"
"""The status, in counts alone, of a request whose client did not wait."""
VERSION = "rayrank.version"
"""Where a request's scope has the version that scored it."""


class CountStatuses:
    """ASGI middleware: counts every answer, whoever gave it, by status and version."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.answers: Counter | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = GONE

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self.app(scope, receive, counted)
        finally:
            self._counter().inc(tags={"status": status, "version": scope.get(VERSION, "")})

    def _counter(self) -> Counter:
        if self.answers is None:  # in its replica, not where the application is built
            self.answers = Counter(*series.REQUESTS.told)
        return self.answers


class Metrics:
    """Of one replica."""

    def __init__(self) -> None:
        self._latency = Histogram(*series.LATENCY.told)
        self._phases = Histogram(*series.PHASES.told)
        self._candidates = Counter(*series.CANDIDATES.told)
        self._ahead = Counter(*series.AHEAD.told)
        self._clamped = Counter(*series.CLAMPED.told)
        self._unfit = Counter(*series.UNFIT.told)
        self._switches = Counter(*series.SWITCHES.told)
        self._shadow = Histogram(*series.SHADOW.told)
        self._unshadowed = Counter(*series.UNSHADOWED.told)
        self._drift = Gauge(*series.DRIFT.told)
        self._age = Gauge(*series.AGE.told)
        self._waiting = Gauge(*series.WAITING.told)
        self._batches = Counter(*series.BATCHES.told)
        self._tokens = Counter(*series.TOKENS.told)
        self._prefixes = Counter(*series.PREFIXES.told)
        self._before: dict[str, EngineCounts] = {}

    def answered(
        self, version: str, total_ms: float, phases: Mapping[str, float], candidates: int
    ) -> None:
        """A request was."""
        tags = {"version": version}
        self._latency.observe(total_ms, tags)
        for phase, ms in phases.items():
            self._phases.observe(ms, {"phase": phase, **tags})
        self._candidates.inc(candidates, tags)

    def odd(self, ahead: int, clamped: Counts[str]) -> None:
        """What was taken for something else in a request."""
        if ahead:
            self._ahead.inc(ahead)
        for feature, count in clamped.items():
            self._clamped.inc(count, {"feature": feature})

    def unfit(self) -> None:
        """A request of the canary's that only the current version understood."""
        self._unfit.inc()

    def switched(self, ok: bool) -> None:
        """To another version, or not."""
        self._switches.inc(tags={"ok": str(ok).lower()})

    def shadowed(self, task: str, difference: float) -> None:
        """A request was scored by the shadow too."""
        self._shadow.observe(difference, {"task": task})

    def unshadowed(self, why: str) -> None:
        """A request was not."""
        self._unshadowed.inc(tags={"why": why})

    def state(self, served: Served, drift: Mapping[str, float]) -> None:
        """Of one version, every few seconds."""
        version = served.manifest.version
        tags = {"version": version}
        self._age.set(served.age_s(), tags)
        for of, value in drift.items():
            self._drift.set(value, {"of": of, **tags})
        now = served.engine.counts()
        # One that is loaded again counts from the start.
        before = self._before.get(version)
        if before is None or now.batches < before.batches:
            before = EngineCounts(*(0 for _ in now))
        self._before[version] = now
        self._waiting.set(now.waiting_tokens, tags)
        more = {name: of - getattr(before, name) for name, of in now._asdict().items()}
        for counter, name in ((self._batches, "batches"), (self._tokens, "tokens")):
            if more[name]:
                counter.inc(more[name], tags)
        for kept in ("encoded", "extended", "found", "dropped"):
            if more[kept]:
                self._prefixes.inc(more[kept], {"kept": kept, **tags})
