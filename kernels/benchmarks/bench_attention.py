"""How much the CPU body of HSTU attention gains over plain PyTorch, forward and backward.

Three ways to compute the same on one ragged batch of MTGR sequences, timed in turns so that they
share whatever else the machine does: this package's operator; the same mathematics padded to the
longest sequence; and a loop over the sequences. Each way's best round counts. One thread, as a Ray
worker has unless it asks for more: several threads wait for each other, so on a busy machine they
time its other work. Writes the ratios to runs/bench/kernels.json.

    python kernels/benchmarks/bench_attention.py
"""

import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import silu

from hstu_kernels import hstu_attention
from hstu_kernels.attention_reference import attention_reference
from hstu_kernels.testing import Visibility, assert_close, visibility

# Long-tailed: mean 600, longest 3,000.
LENGTHS = [120, 3000, 180, 260, 90, 520, 350, 280]
HEADS, DIM = 2, 64
ALPHA, SCALE = DIM**-0.5, 1 / 1024
ROUNDS = 3
RESULT = Path(__file__).parents[2] / "runs" / "bench" / "kernels.json"

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]


def padded_attention(q_THD: Tensor, k_THD: Tensor, v_THD: Tensor, integers: Visibility) -> Tensor:
    lengths = integers.offsets.diff()
    longest = int(lengths.max())
    position_N = torch.arange(longest)
    present_BN = position_N < lengths[:, None]
    end_BN = torch.zeros(len(lengths), longest, dtype=torch.int64)
    end_BN[present_BN] = integers.visible_end

    def pad(x_THD: Tensor) -> Tensor:
        x_BNHD = x_THD.new_zeros(len(lengths), longest, *x_THD.shape[1:])
        return x_BNHD.masked_scatter(present_BN[..., None, None], x_THD).transpose(1, 2)

    mask_BNN = (position_N < end_BN[..., None]) | (position_N == position_N[:, None])
    score_BHNN = pad(q_THD) @ pad(k_THD).transpose(2, 3)
    weight_BHNN = silu(ALPHA * score_BHNN) * mask_BNN[:, None]
    return SCALE * (weight_BHNN @ pad(v_THD)).transpose(1, 2)[present_BN]


def seconds(attention: Attention, inputs: list[Tensor], do_THD: Tensor) -> float:
    begin = time.perf_counter()
    torch.autograd.grad(attention(*inputs), inputs, do_THD)
    return time.perf_counter() - begin


def main() -> None:
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    integers = visibility("mtgr", LENGTHS, generator)
    shape = (sum(LENGTHS), HEADS, DIM)
    inputs = [torch.randn(shape, generator=generator, requires_grad=True) for _ in range(3)]
    do_THD = torch.randn(shape, generator=generator)
    ways: dict[str, Attention] = {
        "operator": lambda q, k, v: hstu_attention(q, k, v, *integers, alpha=ALPHA, scale=SCALE),
        "padded": lambda q, k, v: padded_attention(q, k, v, integers),
        "loop": lambda q, k, v: attention_reference(q, k, v, *integers, alpha=ALPHA, scale=SCALE),
    }
    expected = ways["loop"](*inputs)
    for attention in ways.values():
        assert_close(attention(*inputs), expected, 1e-5)

    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, attention in ways.items():
            times[name].append(seconds(attention, inputs, do_THD))
    best = {name: min(each) for name, each in times.items()}

    result = {
        "over_padded": round(best["padded"] / best["operator"], 2),
        "over_loop": round(best["loop"] / best["operator"], 2),
        "seconds": {name: round(value, 4) for name, value in best.items()},
        "lengths": LENGTHS,
        "heads": HEADS,
        "dim": DIM,
        "machine": {
            "cpu": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
        },
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
