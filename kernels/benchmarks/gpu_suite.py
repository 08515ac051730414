"""Everything there is to know about the kernels on one GPU, in one command, meant for 10 minutes.

First correctness against float64; what fails is told, and timing goes on. Then attention's rate,
counting only what is visible, as a fraction of this GPU's measured matrix product; candidates as
the only queries; a batch's way to the GPU; then a serving stack and the parts of a layer, beside
the least time the device could take. Each row is printed and appended to a CSV file as soon as it
is measured: in --out, else in the environment's OUT, else in kernels/benchmarks/results/. Needs
torch >= 2.11, triton >= 3.6 and Python 3.11 or newer, no more.

    PYTHONPATH=kernels python -m benchmarks.gpu_suite [--out FOLDER]
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from benchmarks import gpu_attention, gpu_copies, gpu_stack
from benchmarks.gpu_checks import all_checks, count_failed
from benchmarks.gpu_measure import Limits, machine, measure_limits, seconds, seconds_in_graph
from benchmarks.gpu_stack import DTYPE, Part, Sizes
from benchmarks.records import Record, out_folder

RESULTS = Path(__file__).with_name("results")
# Heads and dim of the stacks; Meta published 9.30 ms for its Triton stack of the first on an H100.
STACKS = {Sizes(4, 128): 9.30e-3, Sizes(2, 256): 0.0, Sizes(3, 256): 0.0, Sizes(4, 256): 0.0}


def record_stack(record: Record, limits: Limits, sizes: Sizes, published_s: float) -> None:
    batch = gpu_stack.make_batch("cuda")
    layers = [gpu_stack.make_layer(sizes, "cuda") for _ in range(gpu_stack.LAYERS)]
    x_TD = torch.randn(batch.tokens, sizes.width, device="cuda", dtype=DTYPE)
    shape = f"{sizes.heads}x{sizes.dim} B{gpu_stack.BATCH} {batch.tokens} tokens"

    def least_s(part: Part) -> float:
        return limits.seconds(part.flops, part.moved_bytes)

    def forward(name: str, part: Part) -> None:
        record.time(
            name,
            shape,
            "float16",
            partial(seconds_in_graph, part.run),
            flops=part.flops,
            least_s=least_s(part),
        )

    def run() -> torch.Tensor:
        return gpu_stack.run_stack(x_TD, layers, batch)

    def replayed() -> float:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            run()
        return seconds(graph.replay)

    with torch.inference_mode():
        parts = gpu_stack.layer_parts(batch, layers[0], x_TD)
        least = gpu_stack.LAYERS * sum(map(least_s, parts.values()))
        ways: dict[str, Callable[[], float]] = {
            "launched": partial(seconds, run),
            "as a CUDA graph": replayed,
        }
        for name, measure in ways.items():
            stack = f"stack of {gpu_stack.LAYERS}, {name}"
            record.time(stack, shape, "float16", measure, least_s=least, published_s=published_s)
        for name, part in parts.items():
            forward(f"layer {name}", part)
        fusions = gpu_stack.fusions(batch, layers[0], x_TD, parts["projection"])
        for name, (fused, plain) in fusions.items():
            forward(f"{name}, fused", fused)
            forward(f"{name}, by torch", plain)
    for name, part in gpu_stack.backward_parts(batch, layers[0], x_TD).items():
        record.time(
            f"layer backward, {name}",
            shape,
            "float16",
            partial(seconds, part.run),
            flops=part.flops,
            least_s=least_s(part),
        )


def main() -> int:
    out = out_folder(__doc__)
    if not torch.cuda.is_available():
        print("No GPU: this suite measures Triton kernels on one. On a CPU run", file=sys.stderr)
        print("    PYTHONPATH=kernels python -m benchmarks.bench_kernels", file=sys.stderr)
        return 1
    wrong = count_failed(all_checks())
    limits = measure_limits()
    about = machine() | {
        "matmul_tflops": str(round(limits.matmul_flops / 1e12, 1)),
        "copy_gb_s": str(round(limits.copy_bytes / 1e9, 1)),
    }
    record = Record((out or RESULTS) / f"{about['gpu'].replace(' ', '-').lower()}.csv", about)
    gpu_attention.record_causal(record, limits)
    gpu_attention.record_candidates(record, limits)
    gpu_copies.record_copies(record)
    for sizes, published_s in STACKS.items():
        with record.go_on("stack", f"{sizes.heads}x{sizes.dim}", "float16"):
            record_stack(record, limits, sizes, published_s)
    print(f"\n{wrong} comparisons and {record.failed} measurements failed")
    print(f"rows are in {record.path}")
    return 1 if wrong or record.failed else 0


if __name__ == "__main__":
    sys.exit(main())
