"""Where a step's time goes.

On a CPU by the host's clock. On a GPU that clock tells when work was asked for, not when it was
done: there phases are those of the device's own timeline, from events recorded between them, which
are read a step later, when they are long past, so as not to wait for them.
"""

import time
from itertools import pairwise
from typing import Literal

import torch

Phase = Literal["waiting", "forward", "totals", "backward", "update", "telling", "saving"]
"""waiting: for batches. forward, backward: each with its part of the tables' exchange. totals: the
exchange of dense gradients, of the loss and of what else is counted, with waiting for the slowest
rank. update: of dense weights and rows. telling: the journal and what else is written of a step.
saving: the copy that a checkpoint is made of, and the wait for the one before."""


class _HostMark:
    """A moment of the host's."""

    def __init__(self) -> None:
        self.at = time.perf_counter()

    def seconds_to(self, later: "_HostMark") -> float:
        return later.at - self.at


class _DeviceMark:
    """A moment in a GPU's current stream, once that has come there."""

    def __init__(self) -> None:
        self.event = torch.cuda.Event(enable_timing=True)
        self.event.record()

    def seconds_to(self, later: "_DeviceMark") -> float:
        later.event.synchronize()  # past long ago: see `Phases.take`
        return self.event.elapsed_time(later.event) / 1000


_Marks = list[tuple[Phase, "_HostMark | _DeviceMark"]]


class Phases:
    """Of one rank. One phase ends where the next begins; nothing is counted before the first."""

    def __init__(self, device: torch.device) -> None:
        self._later = device.type == "cuda"
        self._mark = _DeviceMark if self._later else _HostMark
        self._marks: _Marks = []
        self._before: _Marks = []

    def begin(self, phase: Phase) -> None:
        """From now on it is this one."""
        self._marks.append((phase, self._mark()))

    def take(self) -> dict[str, float]:
        """Phase -> seconds since the last time this was asked for; the phase that it is in goes on.
        On a GPU of the time before that, and so {} at first."""
        if not self._marks:
            return {}
        phase, _ = self._marks[-1]
        now = self._mark()
        closed = [*self._marks, (phase, now)]
        self._marks = [(phase, now)]
        if self._later:
            closed, self._before = self._before, closed
        return _seconds(closed)

    def drop(self) -> None:
        """Forget what was not taken; nothing is counted until the next phase begins."""
        self._marks, self._before = [], []


def _seconds(marks: _Marks) -> dict[str, float]:
    found: dict[str, float] = {}
    for (phase, begun), (_, ended) in pairwise(marks):
        found[phase] = found.get(phase, 0.0) + begun.seconds_to(ended)  # type: ignore[arg-type]
    return found
