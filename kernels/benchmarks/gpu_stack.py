"""One serving pass of an HSTU stack, and where the time of one of its layers goes."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import linear, silu

from hstu_kernels import (
    gated_group_layer_norm,
    group_layer_norm,
    hstu_attention,
    jagged_concat,
    linear_silu,
)
from hstu_kernels.testing import Visibility, mtgr_visible_end

BATCH, PROFILE, MEAN_HISTORY, REALTIME, CANDIDATES = 32, 8, 1024, 32, 2048
LAYERS, GROUPS = 5, 4
DTYPE, HALF_BYTES = torch.float16, 2


@dataclass(frozen=True)
class Sizes:
    heads: int
    dim: int

    @property
    def width(self) -> int:
        """d_model, and the width of u, q, k and v each."""
        return self.heads * self.dim

    @property
    def widths(self) -> list[int]:
        return [self.width] * 4


@dataclass(frozen=True)
class Batch:
    integers: Visibility
    group_T: Tensor
    counts_GB: Tensor  # tokens of each group and user, on the CPU
    pairs: int

    @property
    def tokens(self) -> int:
        return len(self.group_T)


@dataclass(frozen=True)
class Layer:
    sizes: Sizes
    norm_GD: tuple[Tensor, Tensor]  # gain and bias before the projection
    gate_GD: tuple[Tensor, Tensor]  # gain and bias after attention
    project: tuple[Tensor, Tensor]  # to u, q, k and v
    out: Tensor


@dataclass(frozen=True)
class Part:
    """A step of a layer, or another way to the same, and the least work it can be."""

    run: Callable[[], object]
    flops: float
    moved_bytes: float


def make_batch(device: str) -> Batch:
    """Histories are uniform with the given mean; every user brings all the candidates."""
    generator = torch.Generator().manual_seed(0)
    history = torch.randint(1, 2 * MEAN_HISTORY, (BATCH,), generator=generator)
    profile, realtime, candidates = (
        torch.full_like(history, n) for n in (PROFILE, REALTIME, CANDIDATES)
    )
    counts_GB = torch.stack([profile, history, realtime, candidates])
    static_B = PROFILE + history
    ends = [mtgr_visible_end(n, REALTIME, CANDIDATES, generator) for n in static_B.tolist()]
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), counts_GB.sum(0).cumsum(0)])
    group_T = torch.arange(GROUPS).repeat(BATCH).repeat_interleave(counts_GB.T.flatten())
    integers = Visibility(offsets, torch.cat(ends), None)
    return Batch(integers.to(device), group_T.to(device), counts_GB, integers.pairs())


def make_layer(sizes: Sizes, device: str) -> Layer:
    D = sizes.width

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, device=device, dtype=DTYPE) * D**-0.5

    def gain_and_bias() -> tuple[Tensor, Tensor]:
        return 1 + normal(GROUPS, D), normal(GROUPS, D)

    return Layer(
        sizes, gain_and_bias(), gain_and_bias(), (normal(4 * D, D), normal(4 * D)), normal(D, D)
    )


def attend(q_TD: Tensor, k_TD: Tensor, v_TD: Tensor, batch: Batch, sizes: Sizes) -> Tensor:
    q, k, v = (x_TD.unflatten(1, (sizes.heads, sizes.dim)) for x_TD in (q_TD, k_TD, v_TD))
    o = hstu_attention(q, k, v, *batch.integers, alpha=sizes.dim**-0.5, scale=1 / 1024)
    return o.flatten(1)


def run_layer(x_TD: Tensor, layer: Layer, batch: Batch) -> Tensor:
    n_TD = group_layer_norm(x_TD, batch.group_T, *layer.norm_GD)
    u_TD, q_TD, k_TD, v_TD = linear_silu(n_TD, *layer.project, layer.sizes.widths)
    o_TD = attend(q_TD, k_TD, v_TD, batch, layer.sizes)
    g_TD = gated_group_layer_norm(o_TD, u_TD, batch.group_T, *layer.gate_GD)
    return torch.addmm(x_TD, g_TD, layer.out.T)


def run_stack(x_TD: Tensor, layers: list[Layer], batch: Batch) -> Tensor:
    for layer in layers:
        x_TD = run_layer(x_TD, layer, batch)
    return x_TD


def layer_parts(batch: Batch, layer: Layer, x_TD: Tensor) -> dict[str, Part]:
    """The steps of one layer's forward pass, in order."""
    T, D = batch.tokens, layer.sizes.width
    tensor_bytes = T * D * HALF_BYTES  # of one tensor of all tokens
    u_TD, q_TD, k_TD, v_TD = linear_silu(x_TD, *layer.project, layer.sizes.widths)
    o_TD = attend(q_TD, k_TD, v_TD, batch, layer.sizes)
    return {
        "norm": Part(
            lambda: group_layer_norm(x_TD, batch.group_T, *layer.norm_GD), 0.0, 2 * tensor_bytes
        ),
        "projection": Part(
            lambda: linear_silu(x_TD, *layer.project, layer.sizes.widths),
            2.0 * T * D * 4 * D,
            5 * tensor_bytes,
        ),
        "attention": Part(
            lambda: attend(q_TD, k_TD, v_TD, batch, layer.sizes),
            4.0 * batch.pairs * D,
            4 * tensor_bytes,
        ),
        "gated norm": Part(
            lambda: gated_group_layer_norm(o_TD, u_TD, batch.group_T, *layer.gate_GD),
            0.0,
            3 * tensor_bytes,
        ),
        "output": Part(
            lambda: torch.addmm(x_TD, o_TD, layer.out.T),
            2.0 * T * D * D,
            3 * tensor_bytes,
        ),
    }


def _leaves(*tensors: Tensor) -> list[Tensor]:
    return [t.detach().requires_grad_() for t in tensors]


def backward_parts(batch: Batch, layer: Layer, x_TD: Tensor) -> dict[str, Part]:
    """The operators of one layer's backward pass; each must be timed with gradients enabled."""
    T, D = batch.tokens, layer.sizes.width
    tensor_bytes = T * D * HALF_BYTES  # of one tensor of all tokens
    x_TD, *norm = _leaves(x_TD, *layer.norm_GD)
    gate, project = _leaves(*layer.gate_GD), _leaves(*layer.project)
    o_TD, u_TD, q_TD, k_TD, v_TD = (
        torch.randn(T, D, device=x_TD.device, dtype=DTYPE, requires_grad=True) for _ in range(5)
    )

    def backward(outputs: list[Tensor], inputs: list[Tensor]) -> Callable[[], object]:
        grads = [torch.randn_like(x) for x in outputs]
        return lambda: torch.autograd.grad(outputs, inputs, grads, retain_graph=True)

    return {
        "norm": Part(
            backward([group_layer_norm(x_TD, batch.group_T, norm[0], norm[1])], [x_TD, *norm]),
            0.0,
            3 * tensor_bytes,
        ),
        "projection": Part(
            backward(
                list(linear_silu(x_TD, project[0], project[1], layer.sizes.widths)),
                [x_TD, *project],
            ),
            4.0 * T * D * 4 * D,
            (2 + 2 * 4) * tensor_bytes,
        ),
        "attention": Part(
            backward([attend(q_TD, k_TD, v_TD, batch, layer.sizes)], [q_TD, k_TD, v_TD]),
            10.0 * batch.pairs * D,
            7 * tensor_bytes,
        ),
        "gated norm": Part(
            backward(
                [gated_group_layer_norm(o_TD, u_TD, batch.group_T, gate[0], gate[1])],
                [o_TD, u_TD, *gate],
            ),
            0.0,
            5 * tensor_bytes,
        ),
    }


def fusions(
    batch: Batch, layer: Layer, x_TD: Tensor, projection: Part
) -> dict[str, tuple[Part, Part]]:
    """What a fused operator is worth: it, and PyTorch's own operations for the same."""
    plain_projection = Part(
        lambda: silu(linear(x_TD, *layer.project), inplace=True).split(layer.sizes.widths, dim=1),
        projection.flops,
        projection.moved_bytes,
    )
    counts = batch.counts_GB.sum(1).tolist()
    parts = [x_TD.new_empty(count, x_TD.shape[1]).normal_() for count in counts]
    zero = torch.zeros(GROUPS, 1, dtype=torch.int64)
    offsets = list(torch.cat([zero, batch.counts_GB.cumsum(1)], dim=1).to(x_TD.device))
    row_T = torch.argsort(torch.argsort(batch.group_T, stable=True))
    moved = 2 * layer.sizes.width * batch.tokens * HALF_BYTES
    return {
        "projection": (projection, plain_projection),
        "concat of groups": (
            Part(lambda: jagged_concat(parts, offsets), 0.0, moved),
            Part(lambda: torch.cat(parts)[row_T], 0.0, moved),
        ),
    }
