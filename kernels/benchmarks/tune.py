"""Measures block sizes of the kernels on this GPU and writes hstu_kernels/tuned.json.

The file ships with the package, so that no program tunes while it runs (see hstu_kernels/tuning.py
for why). Other devices' entries are kept. Most of the work is compilation: all cores do that first,
each in a process of its own, and leave what they made in Triton's cache on disk.

    PYTHONPATH=kernels python -m benchmarks.tune
"""

import functools
import json
import multiprocessing
import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import product

import torch
from triton.runtime.errors import OutOfResources

from benchmarks.gpu_measure import seconds
from hstu_kernels.attention_backward_triton import attention_backward
from hstu_kernels.attention_triton import attention_forward
from hstu_kernels.linear_silu_triton import linear_silu_forward
from hstu_kernels.testing import visibility
from hstu_kernels.tuning import TUNED_FILE, Config, best_config, key

DTYPE = torch.bfloat16
BATCH, LENGTH, HEADS = 16, 1024, 4
SMALL = 2, 64, HEADS  # compiles to the same code
ATTENTION_SIZES = [(32, 64), (64, 32), (64, 64), (128, 32), (128, 64), (64, 128), (128, 128)]
PROJECTION_SIZES = [(64, 128), (128, 64), (128, 128), (64, 256), (128, 256), (256, 128)]


@dataclass(frozen=True)
class Problem:
    """A kernel and the dims it is tuned for: q/k's and v's, or inputs and outputs."""

    kernel: str
    dims: tuple[int, int]

    def candidates(self) -> list[Config]:
        projection = self.kernel == "linear_silu"
        sizes = PROJECTION_SIZES if projection else ATTENTION_SIZES
        stages = (2, 3, 4) if projection else (1, 2, 3)
        return [Config(*size, *rest) for size, *rest in product(sizes, (4, 8), stages)]

    def launcher(self, batch: int, length: int, heads: int) -> Callable[[Config], object]:
        if self.kernel == "linear_silu":
            K, N = self.dims
            x, weight = _normal(batch * length, K), _normal(N, K)
            bias, widths = _normal(N), [N // 4] * 4
            return lambda c: linear_silu_forward(x, weight, bias, widths, False, c)
        dim = self.dims[0]
        integers = visibility("mtgr", [length] * batch, torch.Generator().manual_seed(0)).to("cuda")
        q, k, v, do = (_normal(batch * length, heads, dim) for _ in range(4))
        scalars = (dim**-0.5, 1 / length)
        if self.kernel == "forward":
            return lambda c: attention_forward(q, k, v, *integers.of_all(), *scalars, c)
        # One of backward's kernels varies while the other stays: what differs is its own time.
        stays = best_config("dkdv" if self.kernel == "dq" else "dq", q.device, DTYPE, dim, dim)

        def backward(c: Config) -> object:
            configs = (c, stays) if self.kernel == "dq" else (stays, c)
            return attention_backward(do, q, k, v, *integers.of_all(), *scalars, *configs)

        return backward


PROBLEMS = [
    *(Problem(kernel, (d, d)) for d, kernel in product((64, 128, 256), ("forward", "dq", "dkdv"))),
    *(Problem("linear_silu", (d_model, 4 * d_model)) for d_model in (512, 768, 1024)),
]


def _normal(*shape: int) -> torch.Tensor:
    return torch.randn(shape, device="cuda", dtype=DTYPE)


def compiles(problem: Problem, config: Config) -> bool:
    """Leaves the kernel in Triton's cache; False if this GPU has not the memory for it."""
    try:
        problem.launcher(*SMALL)(config)
    except OutOfResources:
        return False
    return True


def main() -> int:
    if not torch.cuda.is_available():
        print("No GPU: there is nothing to tune for.", file=sys.stderr)
        return 1
    choices = [(problem, config) for problem in PROBLEMS for config in problem.candidates()]
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=fresh) as pool:
        possible = list(pool.map(compiles, *zip(*choices, strict=True)))
    tuned = json.loads(TUNED_FILE.read_text())
    own = tuned.setdefault(torch.cuda.get_device_name(), {})
    for problem in PROBLEMS:
        launch = problem.launcher(BATCH, LENGTH, HEADS)
        times = {
            config: seconds(functools.partial(launch, config))
            for (each, config), fits in zip(choices, possible, strict=True)
            if fits and each == problem
        }
        best = min(times, key=lambda config: times[config])
        own[key(problem.kernel, DTYPE, *problem.dims)] = asdict(best)
        TUNED_FILE.write_text(json.dumps(tuned, indent=2, sort_keys=True) + "\n")
        print(f"{problem}: {best}, {times[best] * 1e3:.3f} ms", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
