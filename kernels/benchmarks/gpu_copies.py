"""A serving batch's way to the GPU: in one copy, or feature by feature.

By the host's clock, since what many small copies cost is the host's: each is a call.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from benchmarks.gpu_measure import seconds_until_done
from benchmarks.records import Record

USERS = 32
# Per user: values of a feature of the profile, of the history and of the candidates; 20 of each.
VALUES = 1, 1024, 2048
FEATURES_OF_EACH = 20


def record_copies(record: Record) -> None:
    sizes = [USERS * each for each in VALUES] * FEATURES_OF_EACH
    shape = f"B{USERS} {len(sizes)} features {8 * sum(sizes) / 1e6:.1f} MB"
    with record.go_on("copy to the GPU", shape, "int64"):
        for name, copy in copies(sizes, "cuda").items():
            record.time(
                f"copy to the GPU, {name}",
                shape,
                "int64",
                partial(seconds_until_done, copy),
            )


def copies(sizes: list[int], device: str) -> dict[str, Callable[[], object]]:
    """Ways to bring features of these sizes there. Pinned memory is page-locked: from it the GPU
    reads by itself, while from any other the host first copies into some that is."""
    features = [torch.arange(size) for size in sizes]
    pinned = [feature.pin_memory() for feature in features]
    merged = torch.cat(features).pin_memory()

    def each(tensors: list[Tensor]) -> list[Tensor]:
        return [tensor.to(device, non_blocking=True) for tensor in tensors]

    return {
        "merged, pinned": lambda: merged.to(device, non_blocking=True),
        "by feature, pinned": lambda: each(pinned),
        "by feature": lambda: each(features),
    }
