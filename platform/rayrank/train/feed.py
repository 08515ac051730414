"""Batches are made ready while those before them are trained: read, tokenized, pinned."""

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import NamedTuple, Self

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


class Feed:
    """A rank's batches in the order of their rows, made on a thread. What fails there fails where
    the batch is asked for. Leaving ends the thread, whatever is ready by then."""

    def __init__(self, rows: Iterator[pa.Table], schema: Schema, device: torch.device) -> None:
        self._rows, self._schema, self._device = rows, schema, device
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="feed")
        self._ready: deque[Future[tuple[pa.Table, JaggedBatch] | None]] = deque()

    def __enter__(self) -> Self:
        for _ in range(AHEAD):
            self._ready.append(self._thread.submit(self._make))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.shutdown(cancel_futures=True)

    def __iter__(self) -> Iterator[Fed]:
        while True:
            begun = time.perf_counter()
            made = self._ready.popleft().result()
            if made is None:
                return
            self._ready.append(self._thread.submit(self._make))
            rows, batch = made
            yield Fed(rows, batch.to(self._device), time.perf_counter() - begun)

    def _make(self) -> tuple[pa.Table, JaggedBatch] | None:
        rows = next(self._rows, None)
        if rows is None:
            return None
        batch = to_jagged(rows, self._schema)
        return rows, batch.pin_memory() if self._device.type == "cuda" else batch
