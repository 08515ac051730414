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
"""Steps whose batches are ready or being made, beside the one that is trained."""


class Fed(NamedTuple):
    """A step's batches on their device, and what they were made of."""

    rows: list[pa.Table]
    batches: list[JaggedBatch]
    waited_s: float
    """For how long the trainer stood still for them."""


@contextmanager
def feed(
    rows: Iterator[list[pa.Table]], schema: Schema, device: torch.device
) -> Iterator[Iterator[Fed]]:
    """A rank's steps in the order of their rows, made on a thread. What fails there fails where
    the step is asked for. Leaving ends the thread, whatever is ready by then."""
    thread = ThreadPoolExecutor(1, thread_name_prefix="feed")

    def make() -> tuple[list[pa.Table], list[JaggedBatch]] | None:
        read = next(rows, None)
        if read is None:
            return None
        batches = [to_jagged(each, schema) for each in read]
        return read, [b.pin_memory() for b in batches] if device.type == "cuda" else batches

    ready = deque(thread.submit(make) for _ in range(AHEAD))

    def steps() -> Iterator[Fed]:
        while True:
            begun = time.perf_counter()
            made = ready.popleft().result()
            if made is None:
                return
            ready.append(thread.submit(make))
            read, batches = made
            on_device = [batch.to(device) for batch in batches]
            yield Fed(read, on_device, time.perf_counter() - begun)

    try:
        yield steps()
    finally:
        thread.shutdown(cancel_futures=True)
