"""Batches are made ready while those before them are trained: read, tokenized, on their device."""

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


class There:
    """Batches on a CPU, where they were made."""

    def __init__(self, batches: list[JaggedBatch]) -> None:
        self._batches = batches

    def here(self) -> list[JaggedBatch]:
        """For who computes with them."""
        return self._batches


class OnItsWay:
    """Batches that are copied to a GPU from page-locked memory, on a stream of their own."""

    def __init__(self, batches: list[JaggedBatch], stream: torch.cuda.Stream) -> None:
        with torch.cuda.stream(stream):
            self._batches = [batch.pin_memory().to(stream.device) for batch in batches]
        self._copied = stream.record_event()

    def here(self) -> list[JaggedBatch]:
        """For the current stream, which waits for the copy; the host does not."""
        computing = torch.cuda.current_stream(self._batches[0].device)
        computing.wait_event(self._copied)
        for batch in self._batches:
            # Or its memory were given away when the last view of it goes, before it was read.
            batch.buffer.record_stream(computing)
        return self._batches


@contextmanager
def feed(
    rows: Iterator[list[pa.Table]], schema: Schema, device: torch.device
) -> Iterator[Iterator[Fed]]:
    """A rank's steps in the order of their rows, made on a thread. What fails there fails where
    the step is asked for. Leaving ends the thread, whatever is ready by then."""
    thread = ThreadPoolExecutor(1, thread_name_prefix="feed")
    stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def make() -> tuple[list[pa.Table], There | OnItsWay] | None:
        read = next(rows, None)
        if read is None:
            return None
        batches = [to_jagged(each, schema) for each in read]
        return read, There(batches) if stream is None else OnItsWay(batches, stream)

    ready = deque(thread.submit(make) for _ in range(AHEAD))

    def steps() -> Iterator[Fed]:
        while True:
            begun = time.perf_counter()
            made = ready.popleft().result()
            if made is None:
                return
            ready.append(thread.submit(make))
            read, batches = made
            yield Fed(read, batches.here(), time.perf_counter() - begun)

    try:
        yield steps()
    finally:
        thread.shutdown(cancel_futures=True)


def with_next(steps: Iterator[Fed]) -> Iterator[tuple[Fed, Fed | None]]:
    """Each with the one after it, whose ids are exchanged ahead; None of the last. The trainer
    stands still for the one after before it begins with a step, and that is told with the step."""
    now = next(steps, None)
    waited_s = 0.0 if now is None else now.waited_s
    while now is not None:
        then = next(steps, None)
        waited_s += 0.0 if then is None else then.waited_s
        yield now._replace(waited_s=waited_s), then
        now, waited_s = then, 0.0
