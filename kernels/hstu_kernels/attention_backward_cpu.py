"""HSTU attention on CPUs, backward: the scores are made again, block by block and group by group,
over the plan that forward had."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import silu

from .attention_cpu import Scratch, gather, hide, over_pieces, scatter
from .attention_cpu_plan import Group, Long, Plan, plan_for

silu_backward = torch.ops.aten.silu_backward


def attention_backward(
    do_QHD: Tensor,
    q_QHD: Tensor,
    k_THD: Tensor,
    v_THD: Tensor,
    offsets: Tensor,
    query_offsets: Tensor,
    visible_end: Tensor,
    visible_start: Tensor | None,
    alpha: float,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    keys, heads = k_THD.shape[:2]
    plan = plan_for(offsets, query_offsets, visible_end, visible_start, keys, heads)
    compute = torch.promote_types(q_QHD.dtype, torch.float32)
    do, q, k, v = (x.to(compute) for x in (do_QHD, q_QHD, k_THD, v_THD))
    dq, dk, dv = (torch.zeros(x.shape, dtype=compute) for x in (q, k, v))
    rows = Backward(do, q, k, v, dq, dk, dv)

    def long(piece: Long, scratch: Scratch) -> None:
        _long_backward(piece, plan, rows.of_head(piece.head), scratch, alpha, scale)

    def group(piece: Group) -> None:
        _group_backward(piece, plan, rows, alpha, scale)

    over_pieces(plan, long, group, compute, buffers=2)
    return dq.to(q_QHD.dtype), dk.to(k_THD.dtype), dv.to(v_THD.dtype)


class Backward(NamedTuple):
    """What is read, and the gradients, which are written; rows [n, heads, dim], or of one head
    [n, dim]."""

    do: Tensor
    q: Tensor
    k: Tensor
    v: Tensor
    dq: Tensor
    dk: Tensor
    dv: Tensor

    def of_head(self, head: int) -> "Backward":
        return Backward(*(x[:, head] for x in self))


def _long_backward(
    piece: Long, plan: Plan, of_head: Backward, scratch: Scratch, alpha: float, scale: float
) -> None:
    do, q, k, v, dq, dk, dv = of_head
    for block in piece.blocks:
        rows, keys = slice(block.q0, block.q1), slice(block.k0, block.k1)
        if block.columns:
            score_NM, slope_NM = scratch.scores(block, 0), scratch.scores(block, 1)
            q_ND, do_ND = alpha * q[rows], scale * do[rows]
            torch.mm(q_ND, k[keys].T, out=score_NM)
            torch.mm(do_ND, v[keys].T, out=slope_NM)
            silu_backward(slope_NM, score_NM, grad_input=slope_NM)
            silu(score_NM, inplace=True)
            hide(block, plan, score_NM)
            hide(block, plan, slope_NM)
            dq[rows] = torch.mm(slope_NM, k[keys]).mul_(alpha)
            dk[keys].addmm_(slope_NM.T, q_ND)
            dv[keys].addmm_(score_NM.T, do_ND)
        if block.has_diagonal:
            own = slice(block.q0 + block.shift, block.q1 + block.shift)
            elsewhere_N = ~plan.diagonal[rows]
            score_N = alpha * (q[rows] * k[own]).sum(-1)
            slope_N = silu_backward(scale * (do[rows] * v[own]).sum(-1), score_N).mul_(alpha)
            slope_N1 = slope_N.masked_fill_(elsewhere_N, 0.0)[:, None]
            own_N1 = silu(score_N).masked_fill_(elsewhere_N, 0.0)[:, None]
            dq[rows].addcmul_(slope_N1, k[own])
            dk[own].addcmul_(slope_N1, q[rows])
            dv[own].addcmul_(own_N1, do[rows], value=scale)


def _group_backward(group: Group, plan: Plan, rows: Backward, alpha: float, scale: float) -> None:
    do, q, k, v, dq, dk, dv = rows
    unseen_G1LK = group.unseen(plan)[:, None]
    q_GHLD, do_GHLD = gather(q, group.query_GL).mul_(alpha), gather(do, group.query_GL).mul_(scale)
    k_GHKD, v_GHKD = gather(k, group.key_GK), gather(v, group.key_GK)
    score_GHLK = q_GHLD @ k_GHKD.transpose(2, 3)
    slope_GHLK = silu_backward(do_GHLD @ v_GHKD.transpose(2, 3), score_GHLK)
    slope_GHLK.masked_fill_(unseen_G1LK, 0.0)
    silu(score_GHLK, inplace=True).masked_fill_(unseen_G1LK, 0.0)
    dq_GHLD = slope_GHLK @ k_GHKD
    dk_GHKD = slope_GHLK.transpose(2, 3) @ q_GHLD
    scatter(dk, dk_GHKD, group.key_GK, group.has_key_GK)
    scatter(dv, score_GHLK.transpose(2, 3) @ do_GHLD, group.key_GK, group.has_key_GK)
    if group.has_diagonal:
        own_GHLD = gather(k, group.own_GL)
        elsewhere_G1L = ~plan.diagonal[group.query_GL][:, None]
        score_GHL = (q_GHLD * own_GHLD).sum(-1)
        slope_GHL = silu_backward((do_GHLD * gather(v, group.own_GL)).sum(-1), score_GHL)
        slope_GHL1 = slope_GHL.masked_fill_(elsewhere_G1L, 0.0)[..., None]
        own_GHL1 = silu(score_GHL).masked_fill_(elsewhere_G1L, 0.0)[..., None]
        dq_GHLD.addcmul_(slope_GHL1, own_GHLD)
        add(dk, slope_GHL1 * q_GHLD, group.own_GL, group.has_query_GL)
        add(dv, own_GHL1 * do_GHLD, group.own_GL, group.has_query_GL)
    scatter(dq, dq_GHLD.mul_(alpha), group.query_GL, group.has_query_GL)


def add(out_NHD: Tensor, x_GHLD: Tensor, row_GL: Tensor, there_GL: Tensor) -> None:
    """As `scatter`, onto what is there."""
    out_NHD[row_GL[there_GL]] += x_GHLD.transpose(1, 2)[there_GL]
