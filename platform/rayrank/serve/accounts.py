"""What requests were, told once a second for all of that second: no answer waits for it."""

from collections import Counter, deque
from collections.abc import Mapping
from typing import NamedTuple

import pyarrow as pa

from rayrank.infer.ranges import outside
from rayrank.infer.scorer import Scored
from rayrank.serve.metrics import Metrics
from rayrank.serve.request import RankRequest
from rayrank.serve.served import Served


class Answered(NamedTuple):
    """A request that was."""

    served: Served
    asked: RankRequest
    scored: Scored
    phases: Mapping[str, float]
    """Ms."""
    total_ms: float


class Accounts:
    """Those that were not told yet. Any thread adds; one settles."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self._answered: deque[Answered] = deque()

    def add(self, answered: Answered) -> None:
        """One more."""
        self._answered.append(answered)

    def settle(self) -> None:
        """Tell of all so far: latencies one by one, and inputs and scores of each version's
        together."""
        of_versions: dict[Served, list[Answered]] = {}
        for _ in range(len(self._answered)):
            one = self._answered.popleft()
            of_versions.setdefault(one.served, []).append(one)
        for served, answered in of_versions.items():
            version = served.manifest.version
            for one in answered:
                of = one.asked
                self.metrics.answered(version, one.total_ms, one.phases, of.candidates)
            rows = pa.concat_tables([one.asked.rows for one in answered])
            clamped: Counter[str] = outside(rows, served.schema, served.manifest.ranges)
            self.metrics.odd(sum(one.asked.ahead for one in answered), clamped)
            served.drift.saw(rows, [scores for one in answered for scores in one.scored.scores])
