"""Batches are made ready while those before them are trained: read, tokenized, pinned."""

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import pyarrow as pa
import torch

from rayrank.data.jagged import JaggedBatch, to_jagged
from rayrank.schema import Schema

AHEAD = 2
"""Batches that are ready or being made, beside the one that is trained."""


class Fed(NamedTuple):
    """A batch on its device, and what it was made of."""

    rows: pa.Table
    batch: JaggedBatch
    waited_s: float
    """For how long the trainer stood still for it."""


@contextmanager
def feed(rows: Iterator[pa.Table], schema: Schema, device: torch.device) -> Iterator[Iterator[Fed]]:
    """A rank's batches in the order of their rows, made on a thread. What fails there fails where
    the batch is asked for. Leaving ends the thread, whatever is ready by then."""
    thread = ThreadPoolExecutor(1, thread_name_prefix="feed")

    def make() -> tuple[pa.Table, JaggedBatch] | None:
        read = next(rows, None)
        if read is None:
            return None
        batch = to_jagged(read, schema)
        return read, batch.pin_memory() if device.type == "cuda" else batch

    ready = deque(thread.submit(make) for _ in range(AHEAD))

    def batches() -> Iterator[Fed]:
        while True:
            begun = time.perf_counter()
            made = ready.popleft().result()
            if made is None:
                return
            ready.append(thread.submit(make))
            read, batch = made
            yield Fed(read, batch.to(device), time.perf_counter() - begun)

    try:
        yield batches()
    finally:
        thread.shutdown(cancel_futures=True)
