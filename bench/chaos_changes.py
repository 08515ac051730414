"""What operators do while requests come: no request may fail for it."""

import secrets
from concurrent.futures import ThreadPoolExecutor

from rayrank.storage import write_whole
from rayrank.versions import CURRENT, name_version

from bench.chaos_held import held
from bench.chaos_load import Steady, steady_load
from bench.chaos_outcome import Outcome
from bench.chaos_stage import IN_A_ROW, Stage, until

HELD = 8
"""Requests are spread evenly: some are at either replica."""


class Switched(Outcome):
    """Another version became current, and the first one again."""

    switches: int
    versions: list[str]
    """In answers."""

    def faults(self) -> list[str]:
        two = len(self.versions) == 2
        return super().faults() + ([] if two else [f"two versions, found {self.versions}"])


class Redeployed(Outcome):
    """Deployed with other arguments: new replicas took the place of the old ones."""

    redeployments: int
    processes: int
    """Of all replicas, old and new."""

    def faults(self) -> list[str]:
        expected = 2 + 2 * self.redeployments
        exchanged = self.processes == expected
        told = f"{expected} processes of replicas, found {self.processes}"
        return super().faults() + ([] if exchanged else [told])


class Scaled(Outcome):
    """From two replicas to one and to two again."""

    times: int
    started: int
    """Replicas; none that stays is replaced."""
    held: int
    """Requests whose bodies were half sent when a replica was told to stop, and went on only then:
    it must answer them before it ends."""
    held_statuses: list[int]

    def faults(self) -> list[str]:
        lost = [status for status in self.held_statuses if status != 200]
        told = [f"requests under way were lost: {lost}"] if lost else []
        if self.started != self.times:
            told.append(f"{self.times} replicas to start, found {self.started}")
        return super().faults() + told


class KeysChanged(Outcome):
    """The new key was added, clients took it, and the old one was removed."""

    old_key_status: int

    def faults(self) -> list[str]:
        refused = self.old_key_status == 401
        told = f"the old key is answered {self.old_key_status}, not 401"
        return super().faults() + ([] if refused else [told])


def switch(stage: Stage, steady: Steady, times: int) -> Switched:
    """There and back, so often."""
    stage.demand(replicas=2)
    stage.seen.clear()
    with steady_load(stage, steady) as load:
        for number in range(2 * times):
            make_current(stage, stage.versions[(number + 1) % 2])
    return Switched(asked=load.counts(), switches=2 * times, versions=sorted(stage.seen))


def make_current(stage: Stage, version: str) -> None:
    """And wait until it answers."""
    name_version(stage.bundles, CURRENT, version)
    until(f"{version} answers", lambda: stage.version() == version, in_a_row=IN_A_ROW)


def redeploy(stage: Stage, steady: Steady, times: int) -> Redeployed:
    """With half of the memory for prefixes, and again."""
    stage.demand(replicas=2)
    before = stage.args
    processes = {*stage.replicas().values()}
    with steady_load(stage, steady) as load:
        for _ in range(times):
            half = stage.args.cache_bytes // 2
            stage.args = stage.args.model_copy(update={"cache_bytes": half})
            stage.deploy(replicas=2)
            processes |= {*stage.replicas().values()}
    stage.args = before
    return Redeployed(asked=load.counts(), redeployments=times, processes=len(processes))


def scale(stage: Stage, steady: Steady, times: int) -> Scaled:
    """To one replica, while it has requests under way, and to two, so often."""
    stage.demand(replicas=2)
    before = {*stage.replicas()}
    started: set[str] = set()
    statuses: list[int] = []
    with steady_load(stage, steady) as load, ThreadPoolExecutor(1) as beside:
        for _ in range(times):
            with held(stage, HELD) as requests:
                deployed = beside.submit(stage.deploy, replicas=1)
                until("a replica is told to stop", lambda: len(stage.replicas()) == 1)
                statuses += requests.answers()
            deployed.result()
            stage.demand(replicas=2)
            started |= stage.replicas().keys() - before
    return Scaled(
        asked=load.counts(),
        times=times,
        started=len(started),
        held=len(statuses),
        held_statuses=statuses,
    )


def change_keys(stage: Stage, steady: Steady) -> KeysChanged:
    """As docs/serving.md has it: add the new one, exchange, remove the old one."""
    old, new = stage.key, secrets.token_hex(16)

    def let_in(key: str) -> bool:
        return stage.ask("/v1/models", key=key).status_code == 200

    stage.demand(replicas=2)
    with steady_load(stage, steady) as load:
        write_whole(stage.keys_file, f"{old}\n{new}\n")
        until("the new key is let in", lambda: let_in(new), in_a_row=IN_A_ROW)
        stage.key = new
        load.until_next_part()
        write_whole(stage.keys_file, f"{new}\n")
        until("the old key is refused", lambda: not let_in(old), in_a_row=IN_A_ROW)
    status = stage.ask("/v1/models", key=old).status_code
    return KeysChanged(asked=load.counts(), old_key_status=status)
