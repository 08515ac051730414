"""A version with a flipped bit becomes current: it is refused by name, and the old one answers."""

from rayrank.versions import CURRENT, name_version

from bench.chaos_bundles import damaged_copy
from bench.chaos_changes import make_current
from bench.chaos_load import Steady, steady_load
from bench.chaos_outcome import Outcome
from bench.chaos_stage import IN_A_ROW, Stage, until


class Damaged(Outcome):
    """What came of it."""

    replicas: int
    file: str
    """That has the flipped bit."""
    fault: str
    """In `/v1/models`."""
    versions: list[str]
    """That answered meanwhile."""

    def faults(self) -> list[str]:
        told = super().faults()
        if self.file not in self.fault:
            told.append(f"the fault does not name {self.file}: {self.fault}")
        if len(self.versions) != 1:
            told.append(f"the old version answers on, found {self.versions}")
        return told


def damage(stage: Stage, steady: Steady, replicas: int) -> Damaged:
    """With so many replicas."""
    stage.demand(replicas)
    stage.seen.clear()
    file = damaged_copy(stage.bundles, stage.versions[1])

    def fault() -> str:
        return str(stage.ask("/v1/models").json()["faults"].get(CURRENT, ""))

    with steady_load(stage, steady) as load:
        name_version(stage.bundles, CURRENT, file.parent.name)
        until("every replica refuses it", lambda: fault() != "", in_a_row=IN_A_ROW)
        told = fault()
        for _ in range(IN_A_ROW):
            stage.version()
        make_current(stage, stage.versions[0])
        until("no replica tells a fault any more", lambda: fault() == "", in_a_row=IN_A_ROW)
    return Damaged(
        asked=load.counts(),
        replicas=replicas,
        file=str(file),
        fault=told,
        versions=sorted(stage.seen),
    )
