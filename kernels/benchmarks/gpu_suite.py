"""Everything there is to know about the kernels on one GPU, in one command and under 8 minutes.

First correctness against float64; then attention's rate, counting only what is visible, as a
fraction of this GPU's measured matrix product; then a serving stack and the parts of a layer,
beside the least time the device could take. Prints a table and adds rows to a CSV file in
kernels/benchmarks/results/. Needs torch >= 2.11, triton >= 3.6 and Python 3.11 or newer, no more.

    PYTHONPATH=kernels python -m benchmarks.gpu_suite
"""

import csv
import sys
from pathlib import Path

import torch

from benchmarks import gpu_stack
from benchmarks.gpu_checks import check_all
from benchmarks.gpu_measure import Limits, machine, measure_limits, seconds
from hstu_kernels import hstu_attention
from hstu_kernels.testing import visibility

RESULTS = Path(__file__).with_name("results")
BATCH = 32
SHAPES = [(4, 128, 512), (4, 128, 1024), (4, 128, 4096), (4, 256, 1024), (4, 256, 4096)]
COLUMNS = ["name", "shape", "dtype", "milliseconds", "tflops", "of_limit"]
Row = dict[str, str | float]


def attention_rows(heads: int, dim: int, length: int, limits: Limits) -> list[Row]:
    """Forward, and backward alone, causal."""
    integers = visibility("causal", [length] * BATCH, torch.Generator())
    flops = 4.0 * integers.pairs() * heads * dim
    on_gpu = integers.to("cuda")
    q, k, v = (
        torch.randn(
            BATCH * length, heads, dim, device="cuda", dtype=torch.bfloat16, requires_grad=True
        )
        for _ in range(3)
    )
    do = torch.randn_like(v)

    def forward() -> torch.Tensor:
        return hstu_attention(q, k, v, *on_gpu, alpha=dim**-0.5, scale=1 / length)

    o = forward()
    with torch.inference_mode():
        forward_s = seconds(forward)
    backward_s = seconds(lambda: torch.autograd.grad(o, (q, k, v), do, retain_graph=True))
    shape = f"{heads}x{dim} B{BATCH} T{length} causal"
    # The mathematics of backward has five products to forward's two.
    return [
        row(name, shape, "bfloat16", took, limits.seconds(work, 0.0), work)
        for name, took, work in (
            ("attention forward", forward_s, flops),
            ("attention backward", backward_s, 2.5 * flops),
        )
    ]


def stack_rows(limits: Limits) -> list[Row]:
    batch = gpu_stack.make_batch("cuda")
    layers = [gpu_stack.make_layer("cuda") for _ in range(gpu_stack.LAYERS)]
    x_TD = torch.randn(len(batch.group_T), gpu_stack.WIDTH, device="cuda", dtype=gpu_stack.DTYPE)
    shape = f"B{gpu_stack.BATCH} {len(x_TD)} tokens"
    parts = gpu_stack.time_parts(batch, layers[0], x_TD, limits)
    whole = gpu_stack.time_stack(batch, layers, x_TD)
    least = gpu_stack.LAYERS * sum(limit for _, limit in parts.values())
    rows = [row(f"layer {name}", shape, "float16", *took) for name, took in parts.items()]
    return [*rows, row(f"stack of {gpu_stack.LAYERS} layers", shape, "float16", whole, least)]


def row(name: str, shape: str, dtype: str, took: float, least: float, flops: float = 0.0) -> Row:
    return {
        "name": name,
        "shape": shape,
        "dtype": dtype,
        "milliseconds": round(took * 1e3, 4),
        "tflops": round(flops / took / 1e12, 1) if flops else "",
        "of_limit": round(least / took, 3),
    }


def report(rows: list[Row], limits: Limits) -> Path:
    about: Row = dict(machine())
    about["matmul_tflops"] = round(limits.matmul_flops / 1e12, 1)
    about["copy_gb_s"] = round(limits.copy_bytes / 1e9, 1)
    print("  ".join(f"{name}: {value}" for name, value in about.items()))
    widths = [max(len(c), *(len(str(r[c])) for r in rows)) for c in COLUMNS]
    for line in [COLUMNS, *([str(r[c]) for c in COLUMNS] for r in rows)]:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))

    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{str(about['gpu']).replace(' ', '-').lower()}.csv"
    fresh = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, [*about, *COLUMNS])
        if fresh:
            writer.writeheader()
        writer.writerows(about | r for r in rows)
    return path


def main() -> int:
    if not torch.cuda.is_available():
        print("No GPU: this suite measures Triton kernels on one. On a CPU run", file=sys.stderr)
        print("    python kernels/benchmarks/bench_attention.py", file=sys.stderr)
        return 1
    print(f"{check_all()} comparisons with float64 hold")
    limits = measure_limits()
    rows = [r for shape in SHAPES for r in attention_rows(*shape, limits)]
    rows += stack_rows(limits)
    print(f"\nrows added to {report(rows, limits)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
