"""HSTU attention on CPUs: work bounded by what is visible, nothing padded to the longest sequence.

Two kinds of work, planned in `attention_cpu_plan`. A long sequence goes in blocks of query rows
against the keys those rows can see, without copies; a row's view of itself, when it lies outside
that prefix, is an elementwise product, so thousands of candidates never meet each other. Short
sequences of similar length go together through one batched matrix product.

Nothing of size T x T is kept or made: `attention_backward_cpu` recomputes the scores.
"""

import torch
from torch import Tensor
from torch.nn.functional import silu

from .attention_cpu_plan import Block, Group, Plan, make_plan


def attention_forward(
    q_THD: Tensor,
    k_THD: Tensor,
    v_THD: Tensor,
    offsets: Tensor,
    visible_end: Tensor,
    visible_start: Tensor | None,
    alpha: float,
    scale: float,
) -> Tensor:
    plan = make_plan(offsets, visible_end, visible_start)
    # Half precision would round the scores before silu; GPUs' products do not either.
    compute = torch.promote_types(q_THD.dtype, torch.float32)
    q, k, v = (x.to(compute) for x in (q_THD, k_THD, v_THD))
    o_THD = torch.zeros(v.shape, dtype=compute)
    scratch = Scratch(plan, q)
    for block in plan.blocks:
        _block_forward(block, plan, q, k, v, o_THD, scratch, alpha, scale)
    for group in plan.groups:
        _group_forward(group, plan, q, k, v, o_THD, alpha, scale)
    return o_THD.to(q_THD.dtype)


class Scratch:
    """Score buffers made once: a fresh one per block costs more in page faults than its product."""

    def __init__(self, plan: Plan, q_THD: Tensor, count: int = 1) -> None:
        self.heads = q_THD.shape[1]
        area = max((block.rows * block.columns for block in plan.blocks), default=0)
        self.buffers = [q_THD.new_empty(self.heads * area) for _ in range(count)]

    def scores(self, block: Block, which: int = 0) -> Tensor:
        shape = (self.heads, block.rows, block.columns)
        return self.buffers[which][: shape[0] * shape[1] * shape[2]].view(shape)


def _block_forward(
    block: Block,
    plan: Plan,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    o: Tensor,
    scratch: Scratch,
    alpha: float,
    scale: float,
) -> None:
    rows, keys = slice(block.q0, block.q1), slice(block.k0, block.k1)
    if block.columns:
        score_HNM = scratch.scores(block)
        torch.bmm((alpha * q[rows]).transpose(0, 1), k[keys].permute(1, 2, 0), out=score_HNM)
        silu(score_HNM, inplace=True)
        hide(block, plan, score_HNM)
        o[rows] = torch.bmm(score_HNM, v[keys].transpose(0, 1)).mul_(scale).transpose(0, 1)
    if block.has_diagonal:
        own_NH = silu(alpha * (q[rows] * k[rows]).sum(-1)) * plan.diagonal[rows, None]
        o[rows].addcmul_(own_NH[..., None], v[rows], value=scale)


def hide(block: Block, plan: Plan, score_HNM: Tensor) -> None:
    """Zero what a row may not see: only the columns on which the block's rows disagree."""
    rows = slice(block.q0, block.q1)
    if block.all_start > block.k0:
        position = torch.arange(block.k0, min(block.all_start, block.k1))
        unseen_NM = position < plan.start[rows, None]
        score_HNM[:, :, : len(position)].masked_fill_(unseen_NM, 0.0)
    if block.all_end < block.k1:
        first = max(block.all_end, block.k0)
        unseen_NM = torch.arange(first, block.k1) >= plan.end[rows, None]
        score_HNM[:, :, first - block.k0 :].masked_fill_(unseen_NM, 0.0)


def _group_forward(
    group: Group,
    plan: Plan,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    o: Tensor,
    alpha: float,
    scale: float,
) -> None:
    unseen_GLL = group.unseen(plan)
    score_GHLL = (alpha * group.gather(q)) @ group.gather(k).transpose(2, 3)
    silu(score_GHLL, inplace=True).masked_fill_(unseen_GLL[:, None], 0.0)
    group.scatter(o, score_GHLL @ group.gather(v).mul_(scale))
