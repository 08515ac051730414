"""Measures block sizes of the kernels on this GPU and writes hstu_kernels/tuned.json.

The file ships with the package, so that no program tunes while it runs (see hstu_kernels/tuning.py
for why). Other devices' entries are kept. Most of the work is compilation: all cores do that first,
each in a process of its own, and leave what they made in Triton's cache on disk. What fails, in
either, is told and left out; each kernel's choice is written as soon as it is known, also to a copy
in --out or the environment's OUT.

    PYTHONPATH=kernels python -m benchmarks.tune [--out FOLDER]
"""

import contextlib
import io
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path

import torch

from benchmarks.gpu_measure import seconds
from benchmarks.processes import run_in_processes
from benchmarks.records import in_a_line, out_folder
from hstu_kernels.attention_backward_triton import attention_backward
from hstu_kernels.attention_triton import attention_forward
from hstu_kernels.linear_silu_triton import linear_silu_forward
from hstu_kernels.testing import visibility
from hstu_kernels.tuning import TUNED_FILE, Config, best_config, key

DTYPE = torch.bfloat16
WIDTH = 512  # of all heads together
BATCH, LENGTH = 32, 2048
SMALL = 2, 64  # compiles to the same code
ATTENTION_SIZES = [
    *[(32, 32), (32, 64), (64, 32), (64, 64)],
    *[(128, 32), (128, 64), (64, 128), (128, 128)],
]
PROJECTION_SIZES = [(64, 128), (128, 64), (128, 128), (64, 256), (128, 256), (256, 128)]
# Two blocks of 8 warps on an SM: 65,536 registers / (2 x 8 x 32 threads). Of 4 warps any two fit.
TWO_BLOCKS = 128


@dataclass(frozen=True)
class Problem:
    """A kernel and the dims it is tuned for: q/k's and v's, or inputs and outputs."""

    kernel: str
    dims: tuple[int, int]

    def candidates(self) -> list[Config]:
        projection = self.kernel == "linear_silu"
        sizes = PROJECTION_SIZES if projection else ATTENTION_SIZES
        stages = (2, 3, 4) if projection else (1, 2, 3)
        configs = [Config(*size, *rest) for size, *rest in product(sizes, (4, 8), stages)]
        configs += [replace(c, maxnreg=TWO_BLOCKS) for c in configs if c.num_warps == 8]
        # Sums that leave less than half of a thread's registers to all else spill, or do not
        # compile at all.
        return [c for c in configs if 2 * self._sums(c) <= (c.maxnreg or 256)]

    def _sums(self, config: Config) -> int:
        """Registers of a thread that its program's sums take."""
        Dqk, Dv = self.dims
        sums = {
            "forward": config.block_m * Dv,
            "dq": config.block_m * Dqk,
            "dkdv": config.block_n * (Dqk + Dv),
            "linear_silu": config.block_m * config.block_n,
        }
        return sums[self.kernel] // (32 * config.num_warps)

    def launcher(self, batch: int, length: int) -> Callable[[Config], object]:
        if self.kernel == "linear_silu":
            K, N = self.dims
            x, weight = _normal(batch * length, K), _normal(N, K)
            bias, widths = _normal(N), [N // 4] * 4
            return lambda c: linear_silu_forward(x, weight, bias, widths, False, c)
        dim = self.dims[0]
        integers = visibility("mtgr", [length] * batch, torch.Generator().manual_seed(0)).to("cuda")
        q, k, v, do = (_normal(batch * length, WIDTH // dim, dim) for _ in range(4))
        scalars = (dim**-0.5, 1 / length)
        if self.kernel == "forward":
            return lambda c: attention_forward(q, k, v, *integers.of_all(), *scalars, c)
        # One of backward's kernels varies while the other stays: what differs is its own time.
        stays = best_config("dkdv" if self.kernel == "dq" else "dq", q.device, DTYPE, dim, dim)

        def backward(c: Config) -> object:
            configs = (c, stays) if self.kernel == "dq" else (stays, c)
            return attention_backward(do, q, k, v, *integers.of_all(), *scalars, *configs)

        return backward


# The widest first: what time is left for should be what models use.
PROBLEMS = [
    *(Problem(kernel, (d, d)) for d, kernel in product((256, 128, 64), ("forward", "dq", "dkdv"))),
    *(Problem("linear_silu", (d_model, 4 * d_model)) for d_model in (512, 768, 1024)),
]


def _normal(*shape: int) -> torch.Tensor:
    return torch.randn(shape, device="cuda", dtype=DTYPE)


def compile_error(choice: tuple[Problem, Config]) -> str | None:
    """Leaves the kernel in Triton's cache, or says why not."""
    problem, config = choice
    try:
        # Triton prints a kernel that ptxas refuses, all of it.
        with contextlib.redirect_stdout(io.StringIO()):
            problem.launcher(*SMALL)(config)
            torch.cuda.synchronize()
    except Exception as error:
        return in_a_line(error)
    return None


def timed(
    configs: Iterable[Config], measure: Callable[[Config], float], name: str
) -> dict[Config, float]:
    """Seconds of those that ran; of those that failed it is told why."""
    times = {}
    for config in configs:
        try:
            times[config] = measure(config)
        except Exception as error:
            print(f"FAILED {name} {config}: {in_a_line(error)}", flush=True)
    return times


def measure(problem: Problem, configs: list[Config]) -> dict[Config, float]:
    launch = problem.launcher(BATCH, LENGTH)
    return timed(configs, lambda config: seconds(partial(launch, config)), str(problem))


def keep_fastest(
    device: str,
    choices: Iterable[tuple[Problem, list[Config]]],
    measure: Callable[[Problem, list[Config]], dict[Config, float]],
    out: Path | None,
) -> int:
    """Each problem's fastest goes into the file at once. Returns for how many there was none: what
    the file says of those is not touched."""
    without = 0
    for problem, configs in choices:
        try:
            times = measure(problem, configs)
        except Exception as error:  # the inputs themselves do not fit, say
            print(f"FAILED {problem}: {in_a_line(error)}", flush=True)
            times = {}
        if not times:
            without += 1
            print(f"{problem}: nothing worked, so nothing is written for it", flush=True)
            continue
        best = min(times, key=lambda config: times[config])
        tuned = json.loads(TUNED_FILE.read_text())
        tuned.setdefault(device, {})[key(problem.kernel, DTYPE, *problem.dims)] = asdict(best)
        TUNED_FILE.write_text(json.dumps(tuned, indent=2, sort_keys=True) + "\n")
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            shutil.copy(TUNED_FILE, out)
        took = f"{times[best] * 1e3:.3f} ms, the best of {len(times)}"
        print(f"{problem}: {best}, {took}", flush=True)
    return without


def main() -> int:
    out = out_folder(__doc__)
    if not torch.cuda.is_available():
        print("No GPU: there is nothing to tune for.", file=sys.stderr)
        return 1
    choices = [(problem, config) for problem in PROBLEMS for config in problem.candidates()]
    errors = run_in_processes(compile_error, choices, os.cpu_count() or 1)
    for (problem, config), error in errors.items():
        if error is not None:
            print(f"FAILED {problem} {config}: {error}", flush=True)
    compiled = [choice for choice in choices if errors[choice] is None]
    print(f"{len(compiled)} of {len(choices)} configurations compile", flush=True)
    by_problem = [(p, [config for each, config in compiled if each == p]) for p in PROBLEMS]
    without = keep_fastest(torch.cuda.get_device_name(), by_problem, measure, out)
    return 1 if without else 0


if __name__ == "__main__":
    sys.exit(main())
