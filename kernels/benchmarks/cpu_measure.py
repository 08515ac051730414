"""Ratios on CPUs: ways to compute the same, timed in turns so that they share what else runs."""

import gc
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from statistics import median

import torch
from torch import Tensor


def best_seconds(
    ways: Mapping[str, Callable[[], Tensor | Sequence[Tensor]]],
    inputs: Sequence[Tensor],
    grads: Sequence[Tensor],
    rounds: int = 30,
) -> dict[str, float]:
    """Each way's best round of forward and backward; one round before them is not counted."""

    def both(way: Callable[[], Tensor | Sequence[Tensor]]) -> None:
        result = way()
        torch.autograd.grad([result] if isinstance(result, Tensor) else result, inputs, grads)

    return best_of({name: partial(both, way) for name, way in ways.items()}, rounds)


def best_of(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Seconds of each way's best round; one round before them is not counted."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(1 + rounds):
        for name, way in ways.items():
            gc.collect()
            begin = time.perf_counter()
            way()
            times[name].append(time.perf_counter() - begin)
    return {name: min(each[1:]) for name, each in times.items()}


def medians_by_threads(
    way: Callable[[], object], threads: Sequence[int], rounds: int = 20
) -> dict[int, float]:
    """Seconds with each number of threads: medians of rounds in turns."""
    before = torch.get_num_threads()
    times: dict[int, list[float]] = {number: [] for number in threads}
    for _ in range(1 + rounds):
        for number, each in times.items():
            torch.set_num_threads(number)
            begin = time.perf_counter()
            way()
            each.append(time.perf_counter() - begin)
    torch.set_num_threads(before)
    return {number: median(each[1:]) for number, each in times.items()}


@contextmanager
def busy_process() -> Iterator[None]:
    """Meanwhile another process keeps a core busy."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        try:
            yield
        finally:
            other.kill()


def over(seconds: dict[str, float], operator: str) -> dict[str, float]:
    """How many times longer than the operator the other ways take."""
    return {
        f"over_{name}": round(value / seconds[operator], 2)
        for name, value in seconds.items()
        if name != operator
    }


def machine() -> dict[str, str | int | None]:
    return {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count()}


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), "torch": torch.__version__}
