"""Where the time of a request goes."""

import itertools
import time
from typing import NamedTuple

import torch


class Phases(NamedTuple):
    """In ms: of waiting a request's own, of the rest its batch's."""

    wait: float
    copy: float
    """Rows into tensors, and onto the device."""
    prefix: float
    """What the model makes of users: found, extended, or encoded."""
    candidates: float
    post: float
    """From logits to predictions, and back from the device."""


class Stopwatch:
    """Marks between phases: of a GPU's own time, which runs behind that of who launches its work,
    without waiting for it."""

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"
        self._times: list[float] = []
        self._events: list[torch.cuda.Event] = []
        self.mark()

    def mark(self) -> None:
        """A phase ends, and another begins."""
        if self._on_gpu:
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self._events.append(event)
        else:
            self._times.append(time.perf_counter())

    def milliseconds(self) -> list[float]:
        """Of each phase; on a GPU it waits for the last one's end."""
        if self._on_gpu:
            self._events[-1].synchronize()
            return [a.elapsed_time(b) for a, b in itertools.pairwise(self._events)]
        return [1000 * (b - a) for a, b in itertools.pairwise(self._times)]
