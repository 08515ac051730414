"""Machines of their own on this one: network namespaces, each with an address. Needs root."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

BRIDGE, NET = "rayrank0", "10.77.0"
HOST = f"{NET}.1"
"""This machine's address, as those see it."""


def ip(*told: str) -> str:
    """`ip TOLD`; what it says. Raises CalledProcessError."""
    done = subprocess.run(["ip", *told], check=True, capture_output=True, text=True)
    return done.stdout


@dataclass(frozen=True)
class Machine:
    """One that runs, as a pod would: it has an address, and everything in it ends at once."""

    number: int
    folder: Path

    @property
    def name(self) -> str:
        """Of its namespace."""
        return f"rayrank-{self.number}"

    @property
    def address(self) -> str:
        """Of no other machine."""
        return f"{NET}.{self.number}"

    def start(
        self, command: Sequence[str], environment: Mapping[str, str], log: str
    ) -> subprocess.Popen[bytes]:
        """A process in it."""
        with (self.folder / f"{self.name}-{log}.log").open("ab") as said:
            return subprocess.Popen(
                ["ip", "netns", "exec", self.name, *command],
                env=dict(environment),
                stdout=said,
                stderr=said,
                stdin=subprocess.DEVNULL,
                cwd=environment["WORK"],
                start_new_session=True,
            )

    def processes(self) -> list[int]:
        """All that run in it."""
        return [int(pid) for pid in ip("netns", "pids", self.name).split()]

    def stop(self) -> None:
        """Whatever runs there is gone, as when a machine fails."""
        while pids := self.processes():
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)


class Machines:
    """All there are; their numbers begin at 2."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: list[Machine] = []

    def add(self) -> Machine:
        """A new one, with nothing in it."""
        made = Machine(2 + len(self._made), self._folder)
        self._made.append(made)
        here, there = f"rayrank-h{made.number}", f"rayrank-t{made.number}"
        ip("netns", "add", made.name)
        ip("link", "add", here, "type", "veth", "peer", "name", there)
        ip("link", "set", here, "master", BRIDGE, "up")
        ip("link", "set", there, "netns", made.name)
        inside = ("-n", made.name)
        ip(*inside, "addr", "add", f"{made.address}/24", "dev", there)
        ip(*inside, "link", "set", there, "up")
        ip(*inside, "link", "set", "lo", "up")
        return made

    def end(self) -> None:
        """All of them."""
        for machine in self._made:
            machine.stop()
            ip("netns", "del", machine.name)


@contextmanager
def machines(folder: Path) -> Iterator[Machines]:
    """A network for machines; their logs lie in the folder. Raises CalledProcessError where this
    process may not make one."""
    ip("link", "add", BRIDGE, "type", "bridge")
    made = Machines(folder)
    try:
        ip("addr", "add", f"{HOST}/24", "dev", BRIDGE)
        ip("link", "set", BRIDGE, "up")
        yield made
    finally:
        made.end()
        ip("link", "del", BRIDGE)
