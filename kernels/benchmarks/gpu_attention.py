"""Attention alone on a GPU: beside published figures, at models' sizes, and of candidates only."""

from itertools import product

import torch

from benchmarks.gpu_measure import Limits, seconds
from benchmarks.records import Record
from hstu_kernels import hstu_attention
from hstu_kernels.testing import Queries, Visibility, last_tokens, mtgr_visible_end, visibility

BATCH = 32
# Heads, dim and length. What NVIDIA published for its CUTLASS HSTU kernel on an H100, causal,
# bfloat16: TFLOP/s forward and backward.
PUBLISHED = {
    (4, 128, 512): (182.0, 161.0),
    (4, 128, 1024): (329.0, 276.0),
    (4, 128, 4096): (528.0, 440.0),
    (4, 256, 1024): (409.0, 256.0),
    (4, 256, 4096): (622.0, 360.0),
}
UNPUBLISHED = [*product((2, 3), (256,), (1024, 4096))]
CANDIDATES, HISTORY = 2048, 1024


def record_causal(record: Record, limits: Limits) -> None:
    for heads, dim, length in [*PUBLISHED, *UNPUBLISHED]:
        integers = visibility("causal", [length] * BATCH, torch.Generator())
        record_attention(
            record,
            limits,
            "attention",
            f"{heads}x{dim} B{BATCH} T{length} causal",
            (heads, dim),
            integers,
            integers.pairs(),
            published=PUBLISHED.get((heads, dim, length), (0.0, 0.0)),
        )


def record_candidates(record: Record, limits: Limits) -> None:
    """Candidates are all who ask: where keys and values of their history are kept, and in a last
    layer. Beside them the same where the history asks too."""
    length = HISTORY + CANDIDATES
    end = mtgr_visible_end(HISTORY, 0, CANDIDATES, torch.Generator())
    offsets = torch.arange(BATCH + 1) * length
    integers = Visibility(offsets, end.repeat(BATCH), None)
    queries = last_tokens(offsets, [CANDIDATES] * BATCH)
    shape = f"2x256 B{BATCH} {HISTORY}+{CANDIDATES}"
    record_attention(
        record, limits, "attention, all ask", shape, (2, 256), integers, integers.pairs()
    )
    record_attention(
        record,
        limits,
        "attention, candidates ask",
        shape,
        (2, 256),
        integers.of(queries.rows_Q),
        BATCH * CANDIDATES * (HISTORY + 1),
        queries,
    )


def record_attention(
    record: Record,
    limits: Limits,
    name: str,
    shape: str,
    heads_dim: tuple[int, int],
    integers: Visibility,
    pairs: int,
    queries: Queries | None = None,
    published: tuple[float, float] = (0.0, 0.0),
) -> None:
    """Forward, and backward alone. ``pairs`` are what queries see; ``published`` is in TFLOP/s."""
    heads, dim = heads_dim
    tokens = int(integers.offsets[-1])
    # The mathematics of backward has five products to forward's two.
    flops = 4.0 * pairs * heads * dim
    work = flops, 2.5 * flops
    with record.go_on(name, shape, "bfloat16"):
        on_gpu = integers.to("cuda")
        query_offsets = None if queries is None else queries.offsets.to("cuda")
        q, k, v = (
            torch.randn(n, heads, dim, device="cuda", dtype=torch.bfloat16, requires_grad=True)
            for n in (len(integers.visible_end), tokens, tokens)
        )
        do = torch.randn_like(q)

        def forward() -> torch.Tensor:
            return hstu_attention(
                q, k, v, *on_gpu, query_offsets=query_offsets, alpha=dim**-0.5, scale=1 / 1024
            )

        def forward_s() -> float:
            with torch.inference_mode():
                return seconds(forward)

        def backward_s() -> float:
            o = forward()
            return seconds(lambda: torch.autograd.grad(o, (q, k, v), do, retain_graph=True))

        measures = {"forward": forward_s, "backward": backward_s}
        for (way, measure), w, rate in zip(measures.items(), work, published, strict=True):
            record.time(
                f"{name} {way}",
                shape,
                "bfloat16",
                measure,
                flops=w,
                least_s=limits.seconds(w, 0.0),
                published_s=w / rate / 1e12 if rate else 0.0,
            )
