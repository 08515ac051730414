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
from typing import Any

import torch

# What one block may have, in bytes; sm_86 and sm_89 give 99 KiB, the least of today's.
HOPPER_SHARED_MEMORY = 227 * 1024
TUNED_FILE = Path(__file__).with_name("tuned.json")


@dataclass(frozen=True)
class Config:
    block_m: int  # query rows; rows of a projection
    block_n: int  # keys; columns of a projection
    num_warps: int
    num_stages: int
    # Registers a thread may have; without a limit the compiler takes up to 255. 8 warps of 128 let
    # two blocks share an SM, and one may multiply while the other waits or takes SiLU.
    maxnreg: int | None = None

    def launch(self) -> dict[str, int]:
        """As a kernel's launch takes it."""
        launch = {
            "BLOCK_M": self.block_m,
            "BLOCK_N": self.block_n,
            "num_warps": self.num_warps,
            "num_stages": self.num_stages,
        }
        return launch if self.maxnreg is None else launch | {"maxnreg": self.maxnreg}


@functools.cache
def best_config(kernel: str, device: torch.device, dtype: torch.dtype, Dqk: int, Dv: int) -> Config:
    """``kernel`` is "forward", "dq", "dkdv" or "linear_silu" (there, Dqk is K and Dv is N)."""
    tuned = _tuned().get(torch.cuda.get_device_name(device), {}).get(key(kernel, dtype, Dqk, Dv))
    if tuned:
        return Config(**tuned)
    properties = torch.cuda.get_device_properties(device)
    # torch's type stubs lack it.
    shared_memory: int = properties.shared_memory_per_block_optin  # type: ignore[attr-defined]
    return default_config(kernel, dtype, Dqk, Dv, shared_memory)


def key(kernel: str, dtype: torch.dtype, Dqk: int, Dv: int) -> str:
    """bfloat16 and float16 cost the same, so they share what was measured."""
    return f"{kernel} {8 * dtype.itemsize} bits {Dqk} {Dv}"


def default_config(
    kernel: str, dtype: torch.dtype, Dqk: int, Dv: int, shared_memory: int
) -> Config:
    """Fits a block's shared memory (bytes), and keeps what the inner loop needs in registers."""
    if kernel == "linear_silu":
        return Config(64, 64, 4, 2) if dtype == torch.float32 else Config(128, 128, 8, 3)
    widest = max(Dqk, Dv)
    if dtype == torch.float32:
        return Config(32, 32, 8, 1) if widest <= 128 else Config(16, 16, 8, 1)
    sized = _hopper_config if shared_memory >= HOPPER_SHARED_MEMORY else _small_config
    return sized(kernel, widest)


def _small_config(kernel: str, widest: int) -> Config:
    if widest > 128:
        return Config(64, 32, 8, 2) if kernel == "forward" else Config(32, 32, 4, 1)
    if kernel == "forward":
        return Config(128, 64, 8, 2)
    if kernel == "dq" and widest > 64:
        return Config(128, 32, 8, 2)
    return Config(64, 64, 8, 2)


def _hopper_config(kernel: str, widest: int) -> Config:
    """A warpgroup (4 warps) owns 64 rows of what its program accumulates, so that scores go from
    one product into the next within registers; two warpgroups share what they load."""
    if kernel == "forward":
        return Config(128, 64, 8, 3 if widest <= 128 else 2)
    if widest > 128:
        # 64 query rows and two accumulators of 64 keys would not fit registers: they would spill.
        return Config(64 if kernel == "dq" else 32, 64, 8, 2)
    return Config(128, 64, 8, 2) if kernel == "dq" else Config(64, 128, 8, 2)


@functools.cache
def _tuned() -> dict[str, dict[str, dict[str, Any]]]:
    tuned: dict[str, dict[str, dict[str, Any]]] = json.loads(TUNED_FILE.read_text())
    return tuned
