"""What a replica tells Prometheus, through Ray's exporter (which puts `ray_` before each name)."""

from collections import Counter as Counts
from collections.abc import Mapping

from ray.serve.metrics import Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rayrank.infer.engine import Counts as EngineCounts
from rayrank.serve.served import Served

MILLISECONDS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000]
"""What latencies are counted by."""
DIFFERENCES = [1e-5, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3]
"""What differences of scores are counted by."""
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
            tags = ("status", "version")
            self.answers = Counter("rayrank_requests_total", "Answers by status", tags)
        return self.answers


class Metrics:
    """Of one replica."""

    def __init__(self) -> None:
        version = ("version",)
        self._latency = Histogram(
            "rayrank_request_ms", "From a request's body to its answer", MILLISECONDS, version
        )
        self._phases = Histogram(
            "rayrank_phase_ms", "Where that time went", MILLISECONDS, ("phase", "version")
        )
        self._candidates = Counter("rayrank_candidates_total", "Candidates scored", version)
        self._ahead = Counter(
            "rayrank_ahead_total", "Behaviours known after their request, which count as known then"
        )
        self._clamped = Counter(
            "rayrank_clamped_total", "Numbers taken for the edge of what training saw", ("feature",)
        )
        self._unfit = Counter(
            "rayrank_canary_unfit_total", "Requests that the canary refused and current answered"
        )
        self._switches = Counter(
            "rayrank_switches_total", "To another version, by success", ("ok",)
        )
        self._shadow = Histogram(
            "rayrank_shadow_difference",
            "Of scores of the shadow from those that were answered, a request's mean",
            DIFFERENCES,
            ("task",),
        )
        self._unshadowed = Counter(
            "rayrank_unshadowed_total", "Requests that the shadow did not score", ("why",)
        )
        self._drift = Gauge(
            "rayrank_drift", "Population stability index against export's record", ("of", "version")
        )
        self._age = Gauge("rayrank_bundle_age_s", "Since the bundle was written", version)
        self._waiting = Gauge("rayrank_queue_tokens", "Tokens that wait for the engine", version)
        self._batches = Counter("rayrank_batches_total", "Batches scored", version)
        self._tokens = Counter("rayrank_batch_tokens_total", "Tokens scored", version)
        self._prefixes = Counter(
            "rayrank_prefixes_total",
            "Users' prefixes, by what was kept of them: found, extended, encoded; and dropped",
            ("kept", "version"),
        )
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
