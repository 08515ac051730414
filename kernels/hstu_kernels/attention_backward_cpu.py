"""HSTU attention on CPUs, backward: the scores are made again, block by block and group by group,
over the plan that forward had."""

import torch
from torch import Tensor
from torch.nn.functional import silu

from .attention_cpu import Scratch, hide
from .attention_cpu_plan import Block, Group, Plan, make_plan

silu_backward = torch.ops.aten.silu_backward


def attention_backward(
    do_THD: Tensor,
    q_THD: Tensor,
    k_THD: Tensor,
    v_THD: Tensor,
    offsets: Tensor,
    visible_end: Tensor,
    visible_start: Tensor | None,
    alpha: float,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    plan = make_plan(offsets, visible_end, visible_start)
    compute = torch.promote_types(q_THD.dtype, torch.float32)
    do, q, k, v = (x.to(compute) for x in (do_THD, q_THD, k_THD, v_THD))
    dq, dk, dv = (torch.zeros(x.shape, dtype=compute) for x in (q, k, v))
    scratch = Scratch(plan, q, count=2)
    for block in plan.blocks:
        _block_backward(block, plan, do, q, k, v, dq, dk, dv, scratch, alpha, scale)
    for group in plan.groups:
        _group_backward(group, plan, do, q, k, v, dq, dk, dv, alpha, scale)
    return dq.to(q_THD.dtype), dk.to(k_THD.dtype), dv.to(v_THD.dtype)


def _block_backward(
    block: Block,
    plan: Plan,
    do: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    dq: Tensor,
    dk: Tensor,
    dv: Tensor,
    scratch: Scratch,
    alpha: float,
    scale: float,
) -> None:
    rows, keys = slice(block.q0, block.q1), slice(block.k0, block.k1)
    if block.columns:
        score_HNM, slope_HNM = scratch.scores(block, 0), scratch.scores(block, 1)
        q_HND = (alpha * q[rows]).transpose(0, 1)
        do_HND = (scale * do[rows]).transpose(0, 1)
        torch.bmm(q_HND, k[keys].permute(1, 2, 0), out=score_HNM)
        torch.bmm(do_HND, v[keys].permute(1, 2, 0), out=slope_HNM)
        silu_backward(slope_HNM, score_HNM, grad_input=slope_HNM)
        silu(score_HNM, inplace=True)
        hide(block, plan, score_HNM)
        hide(block, plan, slope_HNM)
        dq[rows] = torch.bmm(slope_HNM, k[keys].transpose(0, 1)).mul_(alpha).transpose(0, 1)
        dk[keys].transpose(0, 1).baddbmm_(slope_HNM.transpose(1, 2), q_HND)
        dv[keys].transpose(0, 1).baddbmm_(score_HNM.transpose(1, 2), do_HND)
    if block.has_diagonal:
        present_N1 = plan.diagonal[rows, None]
        score_NH = alpha * (q[rows] * k[rows]).sum(-1)
        slope_NH = scale * (do[rows] * v[rows]).sum(-1) * present_N1
        slope_NH1 = (alpha * silu_backward(slope_NH, score_NH))[..., None]
        dq[rows].addcmul_(slope_NH1, k[rows])
        dk[rows].addcmul_(slope_NH1, q[rows])
        own_NH1 = (silu(score_NH) * present_N1)[..., None]
        dv[rows].addcmul_(own_NH1, do[rows], value=scale)


def _group_backward(
    group: Group,
    plan: Plan,
    do: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    dq: Tensor,
    dk: Tensor,
    dv: Tensor,
    alpha: float,
    scale: float,
) -> None:
    unseen_GLL = group.unseen(plan)[:, None]
    q_GHLD, k_GHLD, v_GHLD = group.gather(q).mul_(alpha), group.gather(k), group.gather(v)
    do_GHLD = group.gather(do).mul_(scale)
    score_GHLL = q_GHLD @ k_GHLD.transpose(2, 3)
    slope_GHLL = silu_backward(do_GHLD @ v_GHLD.transpose(2, 3), score_GHLL)
    slope_GHLL.masked_fill_(unseen_GLL, 0.0)
    silu(score_GHLL, inplace=True).masked_fill_(unseen_GLL, 0.0)
    group.scatter(dq, (slope_GHLL @ k_GHLD).mul_(alpha))
    group.scatter(dk, slope_GHLL.transpose(2, 3) @ q_GHLD)
    group.scatter(dv, score_GHLL.transpose(2, 3) @ do_GHLD)
