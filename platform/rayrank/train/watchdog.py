"""No rank waits for ever: one that takes no step for too long says where it stands, and ends.

Ranks that wait for one that hangs do so as well; Ray Train then finds workers lost, and the run
goes on from its checkpoint.
"""

import faulthandler
import os
import tempfile
import threading
import time
from types import TracebackType
from typing import Self

from rayrank.storage import AnyPath, files_in, write_whole

STACKS = "stacks"
"""The folder of stacks, of every rank that ended so."""
HUNG = 75
"""The exit status."""


class Watchdog:
    """Of one rank."""

    def __init__(self, folder: AnyPath, rank: int, attempt: int, limit_s: float) -> None:
        """folder: the run's. limit_s: how long the rank may go without `alive`."""
        self.path = folder / STACKS / f"attempt-{attempt:06d}-rank-{rank}.txt"
        self.limit_s = limit_s
        self._ended = threading.Event()
        self._since = time.monotonic()

    def alive(self) -> None:
        """The rank goes on."""
        self._since = time.monotonic()

    def __enter__(self) -> Self:
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()

    def _watch(self) -> None:
        while not self._ended.wait(self.limit_s / 10):
            if time.monotonic() - self._since > self.limit_s:
                write_whole(self.path, _stacks())
                os._exit(HUNG)


def stacks_in(folder: AnyPath) -> list[AnyPath]:
    """Those that a run's ranks have left."""
    return files_in(folder / STACKS, "*.txt")


def _stacks() -> str:
    """Of all threads, the one that steps among them."""
    with tempfile.TemporaryFile("w+") as file:
        faulthandler.dump_traceback(file)
        file.seek(0)
        return file.read()
