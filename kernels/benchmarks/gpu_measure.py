"""What a GPU can do at best, and how long something takes on it."""

import datetime
import platform
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch
import triton
from triton.testing import do_bench, do_bench_cudagraph


@dataclass(frozen=True)
class Limits:
    """Measured on this device, so a fraction says how good a kernel is and not how it is cooled."""

    matmul_flops: float  # per second, of a large half precision product
    copy_bytes: float  # per second, read and written, of a large copy

    def seconds(self, flops: float, moved_bytes: float) -> float:
        """The least time for this much work."""
        return max(flops / self.matmul_flops, moved_bytes / self.copy_bytes)


def seconds(run: Callable[[], object]) -> float:
    milliseconds: float = do_bench(run, warmup=50, rep=200, return_mode="median")
    return milliseconds / 1e3


def seconds_in_graph(run: Callable[[], object]) -> float:
    """Of one run among many in a CUDA graph: a short kernel's own time, which its launch from
    Python would hide. Nothing empties the GPU's cache in between."""
    milliseconds: float = do_bench_cudagraph(run, rep=50, return_mode="median")
    return milliseconds / 1e3


def seconds_until_done(run: Callable[[], object], rounds: int = 100) -> float:
    """By the host's clock, its own work included, until the GPU has nothing left to do."""
    times = []
    for _ in range(10 + rounds):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        run()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return median(times[10:])


def measure_limits() -> Limits:
    side = 8192
    a, b = (torch.randn(side, side, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    product = seconds(lambda: a @ b)
    source = torch.empty(2**30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    copy = seconds(lambda: target.copy_(source))
    return Limits(2 * side**3 / product, 2 * source.numel() / copy)


def machine() -> dict[str, str]:
    """What a figure must be read with."""
    driver = subprocess.run(
        ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "gpu": torch.cuda.get_device_name(),
        "driver": (driver.stdout.split() or ["unknown"])[0],
        "cuda": torch.version.cuda or "none",
        "torch": torch.__version__,
        "triton": triton.__version__,
        "python": platform.python_version(),
    }
