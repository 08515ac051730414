"""Batches onto a device: through one buffer that stays, by one copy."""

from collections.abc import Sequence

import torch

from rayrank.data.jagged import JaggedBatch

ALIGNED = 8
"""Bytes: where a batch may begin, which starts with 64-bit integers."""


class Staging:
    """A buffer in page-locked memory, from which a GPU copies by itself.

    It holds one set of batches: the next one may come when the device has copied this one, as it
    has when a result of it is back.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._buffer = torch.empty(0, dtype=torch.uint8)

    def __call__(self, batches: Sequence[JaggedBatch]) -> list[JaggedBatch]:
        """The batches on the device, in memory of their own there."""
        sizes = [-(-batch.buffer.nbytes // ALIGNED) * ALIGNED for batch in batches]
        if sum(sizes) > len(self._buffer):
            pinned = self.device.type == "cuda"
            with torch.inference_mode(False):  # of no mode: the next batches may come in another
                self._buffer = torch.empty(2 * sum(sizes), dtype=torch.uint8, pin_memory=pinned)
        staged = self._buffer[: sum(sizes)]
        for place, batch in zip(staged.split(sizes), batches, strict=True):
            place[: batch.buffer.nbytes].copy_(batch.buffer)
        on_device = staged.to(self.device, non_blocking=True, copy=True)
        return [
            batch.in_buffer(place[: batch.buffer.nbytes])
            for place, batch in zip(on_device.split(sizes), batches, strict=True)
        ]
