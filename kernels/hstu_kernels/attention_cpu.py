"""HSTU attention on CPUs: work bounded by what is visible, nothing padded to the longest sequence.

Two kinds of work, planned in `attention_cpu_plan`. A long sequence goes in blocks of query rows
against the keys those rows can see, without copies, each head apart. Short sequences of similar
length go together through one batched matrix product. A row's view of itself, when it lies outside
the prefix that it sees, is an elementwise product: so thousands of candidates never meet each
other, and what is not finite in one of them stays there.

Nothing of size T x T is kept or made: `attention_backward_cpu` recomputes the scores.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import silu

from .attention_cpu_plan import Block, Group, Long, Plan, plan_for
from .threads import share_out


def attention_forward(
    q_QHD: Tensor,
    k_THD: Tensor,
    v_THD: Tensor,
    offsets: Tensor,
    query_offsets: Tensor,
    visible_end: Tensor,
    visible_start: Tensor | None,
    alpha: float,
    scale: float,
) -> Tensor:
    keys, heads = k_THD.shape[:2]
    plan = plan_for(offsets, query_offsets, visible_end, visible_start, keys, heads)
    # Half precision would round the scores before silu; GPUs' products do not either.
    compute = torch.promote_types(q_QHD.dtype, torch.float32)
    o_QHD = torch.zeros(len(q_QHD), *v_THD.shape[1:], dtype=compute)
    rows = Forward(q_QHD.to(compute), k_THD.to(compute), v_THD.to(compute), o_QHD)

    def long(piece: Long, scratch: Scratch) -> None:
        _long_forward(piece, plan, rows.of_head(piece.head), scratch, alpha, scale)

    def group(piece: Group) -> None:
        _group_forward(piece, plan, rows, alpha, scale)

    over_pieces(plan, long, group, compute)
    return o_QHD.to(q_QHD.dtype)


class Forward(NamedTuple):
    """What is read, and o, which is written; rows [n, heads, dim], or of one head [n, dim]."""

    q: Tensor
    k: Tensor
    v: Tensor
    o: Tensor

    def of_head(self, head: int) -> "Forward":
        return Forward(*(x[:, head] for x in self))


class Scratch:
    """Score buffers made once: a fresh one per block costs more in page faults than its product."""

    def __init__(self, pieces: list[Long | Group], dtype: torch.dtype, count: int) -> None:
        blocks = (block for piece in pieces if isinstance(piece, Long) for block in piece.blocks)
        area = max((block.rows * block.columns for block in blocks), default=0)
        self.buffers = [torch.empty(area, dtype=dtype) for _ in range(count)]

    def scores(self, block: Block, which: int = 0) -> Tensor:
        return self.buffers[which][: block.rows * block.columns].view(block.rows, block.columns)


def over_pieces(
    plan: Plan,
    long: Callable[[Long, Scratch], None],
    group: Callable[[Group], None],
    dtype: torch.dtype,
    buffers: int = 1,
) -> None:
    """Each piece of a plan, dealt to threads; `long` has so many score buffers of `dtype`."""

    def work(pieces: list[Long | Group]) -> None:
        scratch = Scratch(pieces, dtype, buffers)
        for piece in pieces:
            if isinstance(piece, Long):
                long(piece, scratch)
            else:
                group(piece)

    share_out(plan.pieces, lambda piece: piece.area, work)


def _long_forward(
    piece: Long, plan: Plan, of_head: Forward, scratch: Scratch, alpha: float, scale: float
) -> None:
    q, k, v, o = of_head
    for block in piece.blocks:
        rows, keys = slice(block.q0, block.q1), slice(block.k0, block.k1)
        if block.columns:
            score_NM = scratch.scores(block)
            torch.mm(alpha * q[rows], k[keys].T, out=score_NM)
            silu(score_NM, inplace=True)
            hide(block, plan, score_NM)
            o[rows] = torch.mm(score_NM, v[keys]).mul_(scale)
        if block.has_diagonal:
            own = slice(block.q0 + block.shift, block.q1 + block.shift)
            own_N = silu(alpha * (q[rows] * k[own]).sum(-1))
            own_N.masked_fill_(~plan.diagonal[rows], 0.0)
            o[rows].addcmul_(own_N[:, None], v[own], value=scale)


def hide(block: Block, plan: Plan, score_NM: Tensor) -> None:
    """Zero what a row may not see: only the columns on which the block's rows disagree."""
    rows = slice(block.q0, block.q1)
    if block.all_start > block.k0:
        position = torch.arange(block.k0, min(block.all_start, block.k1))
        unseen_NM = position < plan.start[rows, None]
        score_NM[:, : len(position)].masked_fill_(unseen_NM, 0.0)
    if block.all_end < block.k1:
        first = max(block.all_end, block.k0)
        unseen_NM = torch.arange(first, block.k1) >= plan.end[rows, None]
        score_NM[:, first - block.k0 :].masked_fill_(unseen_NM, 0.0)


def _group_forward(group: Group, plan: Plan, rows: Forward, alpha: float, scale: float) -> None:
    q, k, v, o = rows
    q_GHLD = gather(q, group.query_GL).mul_(alpha)
    score_GHLK = q_GHLD @ gather(k, group.key_GK).transpose(2, 3)
    silu(score_GHLK, inplace=True).masked_fill_(group.unseen(plan)[:, None], 0.0)
    o_GHLD = score_GHLK @ gather(v, group.key_GK)
    if group.has_diagonal:
        own_GHL = silu((q_GHLD * gather(k, group.own_GL)).sum(-1))
        own_GHL.masked_fill_(~plan.diagonal[group.query_GL][:, None], 0.0)
        o_GHLD.addcmul_(own_GHL[..., None], gather(v, group.own_GL))
    scatter(o, o_GHLD.mul_(scale), group.query_GL, group.has_query_GL)


def gather(x_NHD: Tensor, row_GL: Tensor) -> Tensor:
    """[G, H, L, D]"""
    rows = x_NHD.index_select(0, row_GL.view(-1))
    return rows.view(*row_GL.shape, *x_NHD.shape[1:]).transpose(1, 2)


def scatter(out_NHD: Tensor, x_GHLD: Tensor, row_GL: Tensor, there_GL: Tensor) -> None:
    """The opposite of `gather`, where there is a row: each is in one place."""
    out_NHD[row_GL[there_GL]] = x_GHLD.transpose(1, 2)[there_GL]
