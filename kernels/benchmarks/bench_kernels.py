"""The operators on CPUs against plain PyTorch: ratios of one run, in runs/bench/kernels.json.

PYTHONPATH=kernels python -m benchmarks.bench_kernels
"""

import json
from pathlib import Path

import torch

from benchmarks import (
    bench_attention,
    bench_group_layer_norm,
    bench_jagged_concat,
    bench_linear_silu,
)
from benchmarks.cpu_measure import machine, versions

RESULT = Path(__file__).parents[2] / "runs" / "bench" / "kernels.json"


def main() -> None:
    torch.manual_seed(0)
    result = bench_attention.measure() | {
        "gated_group_layer_norm": bench_group_layer_norm.measure(),
        "linear_silu": bench_linear_silu.measure(),
        "jagged_concat": bench_jagged_concat.measure(),
        "machine": machine(),
        "versions": versions(),
    }
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
