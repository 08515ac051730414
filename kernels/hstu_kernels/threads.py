"""Pieces of work on a CPU, dealt to threads that run single-threaded operations.

PyTorch shares each operation among its threads, which meet at its end. Of many small operations one
after the other that is a meeting every few microseconds, and where another process holds a core all
wait for the thread on it, again and again. Pieces dealt once meet once.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch

Piece = TypeVar("Piece")


def share_out(
    pieces: Sequence[Piece], area: Callable[[Piece], int], work: Callable[[list[Piece]], None]
) -> None:
    """`work` on the pieces, in one list a thread, as even in area as the largest piece allows.

    As many threads as PyTorch has. What a piece gives must not depend on whose list it is in.
    """
    threads = min(torch.get_num_threads(), len(pieces))
    lists: list[list[Piece]] = [[] for _ in range(threads)]
    filled = [0] * threads
    for piece in sorted(pieces, key=area, reverse=True):  # longest first, to whom has least
        least = filled.index(min(filled))
        lists[least].append(piece)
        filled[least] += area(piece)
    if threads < 2:
        for each in lists:
            work(each)
        return
    inference = torch.is_inference_mode_enabled()

    def alone(each: list[Piece]) -> None:
        # Neither number of threads nor modes of autograd are handed from thread to thread.
        torch.set_num_threads(1)
        with torch.inference_mode(inference), torch.no_grad():
            work(each)

    among = torch.get_num_threads()
    pool = _pool(among, os.getpid())
    others = [pool.submit(alone, each) for each in lists[1:]]
    try:
        alone(lists[0])
    finally:
        for other in others:
            other.exception()  # waits; whoever fails, nobody writes any more when this returns
        torch.set_num_threads(among)
    for other in others:
        other.result()


@cache
def _pool(threads: int, _process: int) -> ThreadPoolExecutor:
    """Of a process's own: a fork has none of its parent's threads."""
    return ThreadPoolExecutor(threads - 1, thread_name_prefix="hstu")
