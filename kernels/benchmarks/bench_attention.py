"""How much the CPU body of HSTU attention gains over plain PyTorch, forward and backward.

Ways to compute the same on one ragged batch of MTGR sequences: this package's operator; the same
mathematics padded to the longest sequence; a loop over the sequences, and that loop compiled. And
one that computes something else at the same cost in products: PyTorch's own fused attention, with
its softmax in place of SiLU, on each sequence with a mask that is made beforehand.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention, silu

from benchmarks.cpu_measure import best_of, best_seconds, busy_process, medians_by_threads, over
from benchmarks.records import in_a_line
from hstu_kernels import hstu_attention
from hstu_kernels.attention_reference import attention_reference
from hstu_kernels.testing import Visibility, assert_close, visibility

SEQUENCES, MEAN, LONGEST = 12, 600, 3000
HEADS, DIM = 2, 64
ALPHA, SCALE = DIM**-0.5, 1 / 1024
ROUNDS, FORWARD_ROUNDS = 3, 10  # the padded way takes seconds
SLOW = ("padded", "loop")  # what nobody would use
Inputs = tuple[Tensor, Tensor, Tensor]
Ways = Mapping[str, Callable[[], Tensor]]


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


def mask_of(end_N: Tensor) -> Tensor:
    position_N = torch.arange(len(end_N))
    return (position_N < end_N[:, None]) | (position_N == position_N[:, None])


def dense_attention(q_NHD: Tensor, k_NHD: Tensor, v_NHD: Tensor, end_N: Tensor) -> Tensor:
    """Of one sequence."""
    q_HND, k_HND, v_HND = (x_NHD.transpose(0, 1) for x_NHD in (q_NHD, k_NHD, v_NHD))
    weight_HNN = silu(ALPHA * (q_HND @ k_HND.transpose(1, 2))) * mask_of(end_N)
    return SCALE * (weight_HNN @ v_HND).transpose(0, 1)


def softmax_attention(q_NHD: Tensor, k_NHD: Tensor, v_NHD: Tensor, mask_NN: Tensor) -> Tensor:
    """Of one sequence."""
    q, k, v = (x_NHD.transpose(0, 1)[None] for x_NHD in (q_NHD, k_NHD, v_NHD))
    return scaled_dot_product_attention(q, k, v, mask_NN, scale=ALPHA)[0].transpose(0, 1)


def by_sequence(
    attention: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor],
    inputs: Inputs,
    own: list[Tensor],
    lengths: list[int],
) -> Tensor:
    """``own`` is what each sequence's attention takes beside q, k and v."""
    q, k, v = (x_THD.split(lengths) for x_THD in inputs)
    return torch.cat([attention(*each) for each in zip(q, k, v, own, strict=True)])


def measure() -> dict[str, object]:
    """With all cores, and with one thread: what a Ray worker of one CPU has; and both forward,
    quiet and beside a process that keeps one core busy."""
    generator = torch.Generator().manual_seed(0)
    lengths = long_tailed_lengths(generator)
    integers = visibility("mtgr", lengths, generator)
    shape = (sum(lengths), HEADS, DIM)
    q, k, v = (torch.randn(shape, generator=generator, requires_grad=True) for _ in range(3))
    grads = [torch.randn(shape, generator=generator)]
    ends = list(integers.visible_end.split(lengths))
    masks = [mask_of(end_N) for end_N in ends]
    compiled = torch.compile(dense_attention, dynamic=True)
    ways = {
        "operator": lambda: hstu_attention(q, k, v, *integers, alpha=ALPHA, scale=SCALE),
        "padded": lambda: padded_attention(q, k, v, integers),
        "loop": lambda: attention_reference(q, k, v, *integers, alpha=ALPHA, scale=SCALE),
        "sdpa": lambda: by_sequence(softmax_attention, (q, k, v), masks, lengths),
        "compiled": lambda: by_sequence(compiled, (q, k, v), ends, lengths),
    }
    why_not_compiled = None
    try:
        torch.autograd.grad(ways["compiled"](), (q, k, v), grads)
    except Exception as error:  # a machine without a C++ compiler, say
        why_not_compiled = in_a_line(error)
        print(f"torch.compile failed: {why_not_compiled}")
        del ways["compiled"]
    with torch.no_grad():
        expected = ways["loop"]()
        for name, way in ways.items():
            if name != "sdpa":
                assert_close(way(), expected, 1e-5)

    cores = torch.get_num_threads()
    one_thread = timed(ways, (q, k, v), grads, 1)
    many_threads = timed(ways, (q, k, v), grads, cores)

    def forward_alone() -> Tensor:
        with torch.no_grad():
            return ways["operator"]()

    def training() -> Sequence[Tensor]:
        return torch.autograd.grad(ways["operator"](), (q, k, v), grads)

    quiet = medians_by_threads(forward_alone, (1, cores))
    trained = medians_by_threads(training, (1, cores))
    with busy_process():
        contended = medians_by_threads(forward_alone, (1, 2))
    about = {"lengths": lengths, "heads": HEADS, "dim": DIM, "why_not_compiled": why_not_compiled}
    # How many times as fast: two threads beside a busy process may be hardly faster than one there.
    return many_threads | {
        "one_thread": one_thread,
        "training_one_over_many_threads": round(trained[1] / trained[cores], 2),
        "forward_one_over_many_threads": round(quiet[1] / quiet[cores], 2),
        "contended_two_over_one": round(contended[1] / contended[2], 2),
        **about,
    }


def timed(ways: Ways, inputs: Inputs, grads: list[Tensor], threads: int) -> dict[str, Any]:
    """`over_loop` and `over_padded` are of forward and backward. The peers that somebody would use
    in their stead are told both ways: `over_sdpa` is forward, `over_sdpa_with_backward` is not."""
    torch.set_num_threads(threads)
    both = best_seconds(ways, inputs, grads, ROUNDS)
    with torch.no_grad():
        forward = best_of({name: ways[name] for name in ways if name not in SLOW}, FORWARD_ROUNDS)
    over_both, over_forward = over(both, "operator"), over(forward, "operator")
    peers = ("over_sdpa", "over_compiled")
    return {
        **{f"over_{name}": over_both[f"over_{name}"] for name in SLOW},
        **{name: over_forward.get(name) for name in peers},
        **{f"{name}_with_backward": over_both.get(name) for name in peers},
        "threads": threads,
        "seconds": rounded(both),
        "forward_seconds": rounded(forward),
    }


def rounded(seconds: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in seconds.items()}
