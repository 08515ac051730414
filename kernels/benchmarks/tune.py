"""Measures block sizes of the attention kernels on this GPU and writes hstu_kernels/tuned.json.

The file ships with the package, so that no program tunes while it runs (see hstu_kernels/tuning.py
for why). Other devices' entries are kept. Most of the time, about 20 minutes, is compilation.

    PYTHONPATH=kernels python -m benchmarks.tune
"""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from itertools import product

import torch
from triton.runtime.errors import OutOfResources

from benchmarks.gpu_measure import seconds
from hstu_kernels.attention_backward_triton import attention_backward
from hstu_kernels.attention_triton import attention_forward
from hstu_kernels.testing import visibility
from hstu_kernels.tuning import TUNED_FILE, Config, default_config, key

DIMS = (64, 128, 256)
DTYPE = torch.bfloat16
BATCH, LENGTH, HEADS = 16, 1024, 4
SIZES = [(32, 64), (64, 32), (64, 64), (128, 32), (128, 64), (64, 128), (128, 128)]
CANDIDATES = [
    Config(*size, num_warps, num_stages)
    for size, num_warps, num_stages in product(SIZES, (4, 8), (1, 2, 3))
]


def best(run: Callable[[Config], object], default: Config) -> Config:
    times = {default: seconds(lambda: run(default))}
    for config in CANDIDATES:
        try:
            run(config)
        except OutOfResources:
            continue
        times[config] = seconds(lambda config=config: run(config))  # type: ignore[misc]
    return min(times, key=lambda config: times[config])


def tune(dim: int) -> dict[str, dict[str, int]]:
    integers = visibility("mtgr", [LENGTH] * BATCH, torch.Generator().manual_seed(0)).to("cuda")
    q, k, v, do = (
        torch.randn(BATCH * LENGTH, HEADS, dim, device="cuda", dtype=DTYPE) for _ in range(4)
    )
    scalars = (dim**-0.5, 1 / LENGTH)
    dq, dkdv = (default_config(kernel, DTYPE, dim, dim) for kernel in ("dq", "dkdv"))
    # One of backward's kernels varies while the other stays, so what differs is its own time.
    runs: dict[str, Callable[[Config], object]] = {
        "forward": lambda c: attention_forward(q, k, v, *integers, *scalars, c),
        "dq": lambda c: attention_backward(do, q, k, v, *integers, *scalars, c, dkdv),
        "dkdv": lambda c: attention_backward(do, q, k, v, *integers, *scalars, dq, c),
    }
    return {
        key(kernel, DTYPE, dim, dim): asdict(best(run, default_config(kernel, DTYPE, dim, dim)))
        for kernel, run in runs.items()
    }


def main() -> int:
    if not torch.cuda.is_available():
        print("No GPU: there is nothing to tune for.", file=sys.stderr)
        return 1
    tuned = json.loads(TUNED_FILE.read_text())
    own = tuned.setdefault(torch.cuda.get_device_name(), {})
    for dim in DIMS:
        own |= tune(dim)
        TUNED_FILE.write_text(json.dumps(tuned, indent=2, sort_keys=True) + "\n")
        print(f"dim {dim}: done", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
