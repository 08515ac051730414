"""70 % of what the endpoint can do, for minutes: no error, and no memory that grows."""

import re
from pathlib import Path

from rayrank.serve.load import Loaded, Plan, load, poisson
from rayrank.strict import Strict

from bench.chaos_load import TIMEOUT_MS, Steady, steady_load
from bench.chaos_outcome import Outcome
from bench.chaos_stage import Stage

SHARE, GROWTH = 0.7, 1.2
FIRST_PER_S, STEP_S, PART_S = 40.0, 10.0, 20.0
HELD_MS = 1000.0
MOST_MEMORY = 1.1
"""Times what a replica holds once it is warm."""


class Memory(Strict):
    """Resident, of a replica's process, in MiB: once it is warm, and at the end."""

    warm_mib: float
    end_mib: float

    @property
    def end_over_warm(self) -> float:
        return self.end_mib / self.warm_mib


class Soaked(Outcome):
    """What came of it."""

    minutes: float
    capacity_per_s: float
    """The highest of rates, each 1.2 times the one before, at which all were answered and p99
    stayed below a second."""
    per_s: float
    memory: list[Memory]

    def faults(self) -> list[str]:
        grown = [of for of in self.memory if of.end_over_warm > MOST_MEMORY]
        told = [f"memory grew {of.end_over_warm:.2f} times" for of in grown]
        if len(self.memory) != 2:
            told.append(f"two replicas throughout, found {len(self.memory)}")
        return super().faults() + told


def soak(stage: Stage, minutes: float) -> Soaked:
    """Capacity is measured first, which warms too."""
    stage.demand(replicas=2)
    capacity_per_s = _capacity(stage)
    per_s = SHARE * capacity_per_s
    steady = Steady(per_s, round(60 * minutes * per_s), PART_S)
    with steady_load(stage, steady) as load:
        processes = stage.replicas().values()
        warm = {process: resident_mib(process) for process in processes}
    ended = {process: resident_mib(process) for process in stage.replicas().values()}
    return Soaked(
        asked=load.counts(),
        minutes=minutes,
        capacity_per_s=capacity_per_s,
        per_s=per_s,
        memory=[
            Memory(warm_mib=warm[process], end_mib=ended[process])
            for process in warm.keys() & ended.keys()
        ],
    )


def resident_mib(process: int) -> float:
    """Of its memory, what is in RAM and its own: mapped tables are the kernel's to drop."""
    told = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"RssAnon:\s+(\d+) kB", told)
    assert found is not None, told
    return int(found[1]) / 1024


def _capacity(stage: Stage) -> float:
    per_s, held = FIRST_PER_S, 0.0
    while True:
        plan = Plan(stage.url, [(0.0, stage.key)], stage.bodies, poisson(per_s, STEP_S), TIMEOUT_MS)
        found = Loaded.of(load(stage.pool, plan).result(), TIMEOUT_MS)
        scored = found.scored
        if scored is None or scored.requests < found.requests or scored.p99 > HELD_MS:
            return held
        per_s, held = GROWTH * per_s, per_s
