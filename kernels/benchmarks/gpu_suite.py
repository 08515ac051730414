"""Everything there is to know about the kernels on one GPU, in one command, meant for 8 minutes.

First correctness against float64, and no more where that fails; then attention's rate, counting
only what is visible, as a fraction of this GPU's measured matrix product; then a serving stack and
the parts of a layer, beside the least time the device could take. Prints a table and adds rows to a
CSV file in kernels/benchmarks/results/. Needs torch >= 2.11, triton >= 3.6 and Python 3.11 or
newer, no more.

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
# What NVIDIA published for its CUTLASS HSTU kernel on an H100, causal, bfloat16: heads, dim and
# length to TFLOP/s forward and backward.
PUBLISHED = {
    (4, 128, 512): (182.0, 161.0),
    (4, 128, 1024): (329.0, 276.0),
    (4, 128, 4096): (528.0, 440.0),
    (4, 256, 1024): (409.0, 256.0),
    (4, 256, 4096): (622.0, 360.0),
}
# What Meta published for its Triton stack of `gpu_stack`'s sizes on an H100.
PUBLISHED_STACK_MS = 9.30
COLUMNS = ["name", "shape", "dtype", "milliseconds", "tflops", "of_limit", "over_published"]
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
    rows = [
        row(name, shape, "bfloat16", took, limits.seconds(work, 0.0), work)
        for name, took, work in (
            ("attention forward", forward_s, flops),
            ("attention backward", backward_s, 2.5 * flops),
        )
    ]
    for each, published in zip(rows, PUBLISHED[heads, dim, length], strict=True):
        each["over_published"] = round(float(each["tflops"]) / published, 2)
    return rows


def stack_rows(limits: Limits) -> list[Row]:
    batch = gpu_stack.make_batch("cuda")
    layers = [gpu_stack.make_layer("cuda") for _ in range(gpu_stack.LAYERS)]
    x_TD = torch.randn(batch.tokens, gpu_stack.WIDTH, device="cuda", dtype=gpu_stack.DTYPE)
    shape = f"B{gpu_stack.BATCH} {batch.tokens} tokens"

    def part_row(name: str, part: gpu_stack.Part) -> Row:
        least = limits.seconds(part.flops, part.moved_bytes)
        return row(name, shape, "float16", seconds(part.run), least, part.flops)

    rows = []
    with torch.inference_mode():
        parts = gpu_stack.layer_parts(batch, layers[0], x_TD)
        rows += [part_row(f"layer {name}", part) for name, part in parts.items()]
        pairs = gpu_stack.fusions(batch, layers[0], x_TD, parts["projection"])
        for name, (fused, plain) in pairs.items():
            rows.append(part_row(f"{name}, fused", fused))
            rows.append(part_row(f"{name}, by torch", plain))
    backward = gpu_stack.backward_parts(batch, layers[0], x_TD)
    rows += [part_row(f"layer backward, {name}", part) for name, part in backward.items()]

    least = gpu_stack.LAYERS * sum(
        limits.seconds(part.flops, part.moved_bytes) for part in parts.values()
    )
    launched, replayed = gpu_stack.time_stack(batch, layers, x_TD)
    for name, took in (("launched", launched), ("as a CUDA graph", replayed)):
        each = row(f"stack of {gpu_stack.LAYERS}, {name}", shape, "float16", took, least)
        each["over_published"] = round(PUBLISHED_STACK_MS / 1e3 / took, 2)
        rows.append(each)
    return rows


def row(name: str, shape: str, dtype: str, took: float, least: float, flops: float = 0.0) -> Row:
    return {
        "name": name,
        "shape": shape,
        "dtype": dtype,
        "milliseconds": round(took * 1e3, 4),
        "tflops": round(flops / took / 1e12, 1) if flops else "",
        "of_limit": round(least / took, 3),
        "over_published": "",
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
        print("    PYTHONPATH=kernels python -m benchmarks.bench_kernels", file=sys.stderr)
        return 1
    if not check_all():
        return 1
    limits = measure_limits()
    rows = [r for shape in PUBLISHED for r in attention_rows(*shape, limits)]
    rows += stack_rows(limits)
    print(f"\nrows added to {report(rows, limits)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
