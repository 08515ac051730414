"""A replica's process is killed: who waited for it gets no answer, and nobody else notices."""

import os
import signal
import time
from functools import partial

from rayrank.strict import Strict

from bench.chaos_load import Asked, Counts, Steady, counts, steady_load
from bench.chaos_outcome import Outcome, failures
from bench.chaos_stage import Stage, until

NOTICED_S = 1.0


class Kill(Strict):
    """One of them."""

    waiting: int
    """Requests that were sent before it and not answered yet, at either replica."""
    failures: int
    """Of those."""
    failures_sent_later: int
    """Within NOTICED_S."""
    back_s: float
    """Until two replicas were ready again."""


class Killed(Outcome):
    """Failures are allowed of requests that were at the replica, until that is noticed."""

    kills: list[Kill]
    elsewhere: Counts
    """Of requests that were answered before a kill, or due more than NOTICED_S after it."""

    def faults(self) -> list[str]:
        return failures(self.elsewhere)


def kill(stage: Stage, steady: Steady, times: int) -> Killed:
    """One of two replicas, so often; each time once there are two again."""
    stage.demand(replicas=2)
    kills: list[tuple[float, float]] = []
    with steady_load(stage, steady) as load:
        for _ in range(times):
            load.until_next_part()
            before = stage.replicas()
            victim = before[min(before)]
            os.kill(victim, signal.SIGKILL)
            at = time.monotonic()
            until("two replicas run again", partial(_back, stage, victim))
            kills.append((at, time.monotonic() - at))
    near: set[Asked] = set()
    found = []
    for at, back_s in kills:
        waiting = [each for each in load.asked if each.sent <= at < each.done]
        later = [each for each in load.asked if at < each.sent and each.due <= at + NOTICED_S]
        near |= {*waiting, *later}
        found.append(
            Kill(
                waiting=len(waiting),
                failures=counts(waiting).failures,
                failures_sent_later=counts(later).failures,
                back_s=back_s,
            )
        )
    elsewhere = [each for each in load.asked if each not in near]
    return Killed(asked=load.counts(), kills=found, elsewhere=counts(elsewhere))


def _back(stage: Stage, victim: int) -> bool:
    now = stage.replicas()
    return len(now) == 2 and victim not in now.values()
