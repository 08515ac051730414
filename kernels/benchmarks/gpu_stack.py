"""One serving pass of an HSTU stack, and where the time of one of its layers goes."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import linear, silu

from benchmarks.gpu_measure import Limits, seconds
from hstu_kernels import gated_group_layer_norm, group_layer_norm, hstu_attention
from hstu_kernels.testing import Visibility, mtgr_visible_end

BATCH, MEAN_HISTORY, REALTIME, CANDIDATES = 32, 1024, 32, 2048
LAYERS, WIDTH, HEADS, DIM, GROUPS = 5, 512, 4, 128, 4
DTYPE, HALF_BYTES = torch.float16, 2
INNER = HEADS * DIM


@dataclass(frozen=True)
class Batch:
    integers: Visibility
    group_T: Tensor
    pairs: int


@dataclass(frozen=True)
class Layer:
    norm_GD: tuple[Tensor, Tensor]  # gain and bias before the projection
    gate_GD: tuple[Tensor, Tensor]  # gain and bias after attention
    project: tuple[Tensor, Tensor]  # to u, q, k and v
    out: Tensor


def make_batch(device: str) -> Batch:
    """Histories are long-tailed with the given mean; every user brings all the candidates."""
    generator = torch.Generator().manual_seed(0)
    draw = torch.randn(BATCH, generator=generator).exp()
    history = (draw / draw.mean() * MEAN_HISTORY).long().clamp(min=16)
    ends, groups = [], []
    for static in history.tolist():
        ends.append(mtgr_visible_end(static, REALTIME, CANDIDATES, generator))
        counts = torch.tensor([8, static - 8, REALTIME, CANDIDATES])
        groups.append(torch.arange(GROUPS).repeat_interleave(counts))
    lengths = history + REALTIME + CANDIDATES
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    integers = Visibility(offsets, torch.cat(ends), None)
    return Batch(integers.to(device), torch.cat(groups).to(device), integers.pairs())


def make_layer(device: str) -> Layer:
    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, device=device, dtype=DTYPE) * WIDTH**-0.5

    def gain_and_bias(width: int) -> tuple[Tensor, Tensor]:
        return 1 + normal(GROUPS, width), normal(GROUPS, width)

    return Layer(
        gain_and_bias(WIDTH),
        gain_and_bias(INNER),
        (normal(4 * INNER, WIDTH), normal(4 * INNER)),
        normal(WIDTH, INNER),
    )


def cut(uqkv_TE: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """u [T, H * D] and q, k, v [T, H, D], all views."""
    u_TE, q_TE, k_TE, v_TE = uqkv_TE.split(INNER, dim=1)
    q, k, v = (x.unflatten(1, (HEADS, DIM)) for x in (q_TE, k_TE, v_TE))
    return u_TE, q, k, v


def attend(q_THD: Tensor, k_THD: Tensor, v_THD: Tensor, batch: Batch) -> Tensor:
    return hstu_attention(q_THD, k_THD, v_THD, *batch.integers, alpha=DIM**-0.5, scale=1 / 1024)


def run_layer(x_TD: Tensor, layer: Layer, batch: Batch) -> Tensor:
    n_TD = group_layer_norm(x_TD, batch.group_T, *layer.norm_GD)
    u_TE, q, k, v = cut(silu(linear(n_TD, *layer.project), inplace=True))
    o_TE = attend(q, k, v, batch).flatten(1)
    g_TE = gated_group_layer_norm(o_TE, u_TE, batch.group_T, *layer.gate_GD)
    return torch.addmm(x_TD, g_TE, layer.out.T)


@torch.inference_mode()
def time_stack(batch: Batch, layers: list[Layer], x_TD: Tensor) -> float:
    def stack() -> Tensor:
        h_TD = x_TD
        for layer in layers:
            h_TD = run_layer(h_TD, layer, batch)
        return h_TD

    return seconds(stack)


@torch.inference_mode()
def time_parts(
    batch: Batch, layer: Layer, x_TD: Tensor, limits: Limits
) -> dict[str, tuple[float, float]]:
    """For each part of a layer its seconds, and the least the device could take for it."""
    T = len(x_TD)
    uqkv_TE = linear(x_TD, *layer.project)
    u_TE, q, k, v = cut(uqkv_TE)
    o_TE = attend(q, k, v, batch).flatten(1)
    token = T * HALF_BYTES
    parts: dict[str, tuple[Callable[[], object], float, float]] = {
        "norm": (
            lambda: group_layer_norm(x_TD, batch.group_T, *layer.norm_GD),
            0.0,
            2 * WIDTH * token,
        ),
        "projection": (
            lambda: linear(x_TD, *layer.project),
            2.0 * T * WIDTH * 4 * INNER,
            (WIDTH + 4 * INNER) * token,
        ),
        "silu": (lambda: silu(uqkv_TE, inplace=True), 0.0, 2 * 4 * INNER * token),
        "attention": (
            lambda: attend(q, k, v, batch),
            4.0 * batch.pairs * INNER,
            4 * INNER * token,
        ),
        "gated norm": (
            lambda: gated_group_layer_norm(o_TE, u_TE, batch.group_T, *layer.gate_GD),
            0.0,
            3 * INNER * token,
        ),
        "output": (
            lambda: torch.addmm(x_TD, o_TE, layer.out.T),
            2.0 * T * WIDTH * INNER,
            (INNER + 2 * WIDTH) * token,
        ),
    }
    return {
        name: (seconds(run), limits.seconds(flops, moved))
        for name, (run, flops, moved) in parts.items()
    }
