"""How much the CPU body of HSTU attention gains over plain PyTorch, forward and backward.

Three ways to compute the same on one ragged batch of MTGR sequences: this package's operator; the
same mathematics padded to the longest sequence; and a loop over the sequences.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import silu

from benchmarks.cpu_measure import best_seconds, busy_process, one_over_many, over
from hstu_kernels import hstu_attention
from hstu_kernels.attention_reference import attention_reference
from hstu_kernels.testing import Visibility, assert_close, visibility

SEQUENCES, MEAN, LONGEST = 12, 600, 3000
HEADS, DIM = 2, 64
ALPHA, SCALE = DIM**-0.5, 1 / 1024
ROUNDS = 3  # the padded way takes seconds


def long_tailed_lengths(generator: torch.Generator) -> list[int]:
    """Log-normal, with the mean and the longest that were asked for."""
    draw = torch.randn(SEQUENCES - 1, generator=generator).exp()
    share = draw / draw.sum() * (SEQUENCES * MEAN - LONGEST)
    return [LONGEST, *share.round().int().clamp(1, LONGEST).tolist()]


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


def measure() -> dict[str, object]:
    """With all cores, and with one thread: what a Ray worker of one CPU has; and both forward,
    quiet and beside a process that keeps one core busy."""
    generator = torch.Generator().manual_seed(0)
    lengths = long_tailed_lengths(generator)
    integers = visibility("mtgr", lengths, generator)
    shape = (sum(lengths), HEADS, DIM)
    q, k, v = (torch.randn(shape, generator=generator, requires_grad=True) for _ in range(3))
    ways = {
        "operator": lambda: hstu_attention(q, k, v, *integers, alpha=ALPHA, scale=SCALE),
        "padded": lambda: padded_attention(q, k, v, integers),
        "loop": lambda: attention_reference(q, k, v, *integers, alpha=ALPHA, scale=SCALE),
    }
    with torch.no_grad():
        expected = ways["loop"]()
        for way in ways.values():
            assert_close(way(), expected, 1e-5)

    grads = [torch.randn(shape, generator=generator)]

    def timed(threads: int) -> dict[str, Any]:
        torch.set_num_threads(threads)
        seconds = best_seconds(ways, (q, k, v), grads, ROUNDS)
        rounded = {name: round(value, 4) for name, value in seconds.items()}
        return {**over(seconds, "operator"), "threads": threads, "seconds": rounded}

    def forward_alone() -> Tensor:
        with torch.no_grad():
            return ways["operator"]()

    cores = torch.get_num_threads()
    one_thread = timed(1)
    many_threads = timed(cores)
    with busy_process():
        contended = one_over_many(forward_alone, cores)
    about = {"lengths": lengths, "heads": HEADS, "dim": DIM}
    return many_threads | {
        "one_thread": one_thread,
        "training_one_over_many_threads": round(
            one_thread["seconds"]["operator"] / many_threads["seconds"]["operator"], 2
        ),
        "forward_one_over_many_threads": one_over_many(forward_alone, cores),
        "contended_one_over_many_threads": contended,
        **about,
    }
