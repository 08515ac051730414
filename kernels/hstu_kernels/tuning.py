"""Block sizes of the Triton kernels: measured ones from `tuned.json`, else a safe default.

Nothing is tuned while a program runs: a replica must start fast, and two replicas must choose
alike, or one user's scores would differ in their last bits between them. So a choice depends on
the device, the kernel, the dtype's size and the dims, and on nothing in the batch.
`kernels/benchmarks/tune.py` measures and rewrites the file.
"""

import functools
import json
from dataclasses import dataclass
from pathlib import Path

import torch

TUNED_FILE = Path(__file__).with_name("tuned.json")


@dataclass(frozen=True)
class Config:
    block_m: int  # query rows
    block_n: int  # keys
    num_warps: int
    num_stages: int


@functools.cache
def best_config(kernel: str, device: torch.device, dtype: torch.dtype, Dqk: int, Dv: int) -> Config:
    """``kernel`` is "forward", "dq" or "dkdv"."""
    tuned = _tuned().get(torch.cuda.get_device_name(device), {}).get(key(kernel, dtype, Dqk, Dv))
    return Config(**tuned) if tuned else default_config(kernel, dtype, Dqk, Dv)


def key(kernel: str, dtype: torch.dtype, Dqk: int, Dv: int) -> str:
    """bfloat16 and float16 cost the same, so they share what was measured."""
    return f"{kernel} {8 * dtype.itemsize} bits {Dqk} {Dv}"


def default_config(kernel: str, dtype: torch.dtype, Dqk: int, Dv: int) -> Config:
    """Fits the 99 KiB of shared memory a block has on sm_86 and sm_89, the least of today's."""
    widest = max(Dqk, Dv)
    if dtype == torch.float32:
        return Config(32, 32, 8, 1) if widest <= 128 else Config(16, 16, 8, 1)
    if widest > 128:
        return Config(64, 32, 8, 2) if kernel == "forward" else Config(32, 32, 4, 1)
    if kernel == "forward":
        return Config(128, 64, 8, 2)
    if kernel == "dq" and widest > 64:
        return Config(128, 32, 8, 2)
    return Config(64, 64, 8, 2)


@functools.cache
def _tuned() -> dict[str, dict[str, dict[str, int]]]:
    tuned: dict[str, dict[str, dict[str, int]]] = json.loads(TUNED_FILE.read_text())
    return tuned
