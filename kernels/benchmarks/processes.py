"""Work in processes that may die: a compiler can crash, or be killed for its memory."""

import contextlib
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

Job = TypeVar("Job")


def run_in_processes(
    work: Callable[[Job], str | None], jobs: Sequence[Job], processes: int
) -> dict[Job, str | None]:
    """What ``work`` returned of each job, in the jobs' order; where its process died, that it did.

    A dead process takes its pool with it, and the pool does not say whose it was. Jobs begin in
    their order, so it is one of the oldest that are not done, as many as there are processes: each
    of those runs again, in a pool of its own, and the rest go on in a fresh one.
    """
    done: dict[Job, str | None] = {}
    while left := [job for job in jobs if job not in done]:
        done |= _run_in_one_pool(work, left, processes)
        suspects = [job for job in left if job not in done][:processes]
        for job in suspects:
            died = "its process died" if processes == 1 else None
            done[job] = died or run_in_processes(work, [job], 1)[job]
    return {job: done[job] for job in jobs}


def _run_in_one_pool(
    work: Callable[[Job], str | None], jobs: Sequence[Job], processes: int
) -> dict[Job, str | None]:
    """Of the jobs that were done before a process died."""
    futures: dict[Job, Future[str | None]] = {}
    done: dict[Job, str | None] = {}
    fresh = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
    with ProcessPoolExecutor(processes, mp_context=fresh) as pool:
        with contextlib.suppress(BrokenProcessPool):
            for job in jobs:
                futures[job] = pool.submit(work, job)
        for job, future in futures.items():
            with contextlib.suppress(BrokenProcessPool):
                done[job] = future.result()
    return done
