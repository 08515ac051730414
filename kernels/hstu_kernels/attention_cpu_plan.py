"""Cuts a jagged batch into the pieces that attention on a CPU computes, from its integers alone."""

from dataclasses import dataclass

import torch
from torch import Tensor

# A sequence up to this length is computed together with others of about its length.
SHORT = 128
# Lengths within one step share a group, so padding is below one step per sequence.
STEP = 16
# Rows of one group or block: enough to fill the cores, few enough for scores to stay in cache.
GROUP_ROWS = 2048
BLOCK_ROWS = 256


@dataclass(frozen=True)
class Block:
    """Query rows [q0, q1) against keys [k0, k1); rows of the batch, not of the sequence.

    Every row sees the keys in [all_start, all_end); the rows differ only outside it.
    """

    q0: int
    q1: int
    k0: int
    k1: int
    all_start: int
    all_end: int
    has_diagonal: bool

    @property
    def rows(self) -> int:
        return self.q1 - self.q0

    @property
    def columns(self) -> int:
        return self.k1 - self.k0


@dataclass(frozen=True)
class Group:
    """Whole sequences of about one length: batch rows [G, L], and which places hold a token."""

    row_GL: Tensor
    present_GL: Tensor

    def gather(self, x_THD: Tensor) -> Tensor:
        """[G, H, L, D]; a place without a token repeats a row of the batch, and is hidden later."""
        G, L = self.row_GL.shape
        return (
            x_THD.index_select(0, self.row_GL.view(-1)).view(G, L, *x_THD.shape[1:]).transpose(1, 2)
        )

    def scatter(self, out_THD: Tensor, x_GHLD: Tensor) -> None:
        out_THD[self.row_GL[self.present_GL]] = x_GHLD.transpose(1, 2)[self.present_GL]

    def unseen(self, plan: "Plan") -> Tensor:
        """[G, L, L]: query row may not see key; places without a token see and are seen by none."""
        key_G1L = self.row_GL[:, None, :]
        start_GL1, end_GL1 = plan.start[self.row_GL][..., None], plan.end[self.row_GL][..., None]
        seen_GLL = (key_G1L >= start_GL1) & (key_G1L < end_GL1)
        seen_GLL.diagonal(dim1=1, dim2=2).fill_(True)
        return ~(seen_GLL & self.present_GL[:, None, :] & self.present_GL[:, :, None])


@dataclass(frozen=True)
class Plan:
    blocks: list[Block]
    groups: list[Group]
    start: Tensor  # [T] first visible row of the batch
    end: Tensor  # [T] exclusive
    diagonal: Tensor  # [T] bool: the row lies outside what it sees, so it is added apart


def make_plan(offsets: Tensor, visible_end: Tensor, visible_start: Tensor | None) -> Plan:
    lengths = offsets.diff()
    tokens = visible_end.shape[0]
    _check_values(offsets, tokens)
    first_T = offsets[:-1].repeat_interleave(lengths)
    length_T = lengths.repeat_interleave(lengths)
    start_T = torch.zeros_like(first_T) if visible_start is None else visible_start.to(torch.int64)
    end_T = visible_end.to(torch.int64)
    if not bool(((start_T >= 0) & (end_T >= 0) & (end_T <= length_T)).all()):
        row = int(((start_T < 0) | (end_T < 0) | (end_T > length_T)).nonzero()[0])
        raise ValueError(
            f"token {row} sees [{int(start_T[row])}, {int(end_T[row])}), "
            f"outside its sequence of {int(length_T[row])} tokens"
        )
    start, end = start_T + first_T, end_T + first_T
    row_T = torch.arange(tokens)
    diagonal = (row_T < start) | (row_T >= end)
    long = lengths > SHORT
    blocks = _blocks(offsets[:-1][long], lengths[long], start, end, diagonal)
    groups = _groups(offsets[:-1][~long], lengths[~long])
    return Plan(blocks, groups, start, end, diagonal)


def _check_values(offsets: Tensor, tokens: int) -> None:
    if int(offsets[0]) != 0 or int(offsets[-1]) != tokens or bool((offsets.diff() < 0).any()):
        raise ValueError(
            f"offsets must rise from 0 to the number of tokens, {tokens}; "
            f"they go from {int(offsets[0])} to {int(offsets[-1])}"
            + (", and fall in between" if bool((offsets.diff() < 0).any()) else "")
        )


def _blocks(
    first: Tensor, length: Tensor, start: Tensor, end: Tensor, diagonal: Tensor
) -> list[Block]:
    count = (length + BLOCK_ROWS - 1) // BLOCK_ROWS
    nth = _index_within(count)
    q0 = first.repeat_interleave(count) + nth * BLOCK_ROWS
    q1 = torch.minimum(q0 + BLOCK_ROWS, (first + length).repeat_interleave(count))
    block_T = torch.arange(len(q0)).repeat_interleave(q1 - q0)
    row_T = q0.repeat_interleave(q1 - q0) + _index_within(q1 - q0)

    def over_rows(value: Tensor, how: str) -> list[int]:
        out = value.new_zeros(len(q0))
        return out.scatter_reduce_(0, block_T, value[row_T], how, include_self=False).tolist()

    k0 = over_rows(start, "amin")
    k1 = over_rows(end, "amax")
    all_start = over_rows(start, "amax")
    all_end = over_rows(end, "amin")
    has_diagonal = over_rows(diagonal.to(torch.int64), "amax")
    return [
        Block(a, b, lo, max(lo, hi), alo, ahi, bool(d))
        for a, b, lo, hi, alo, ahi, d in zip(
            q0.tolist(), q1.tolist(), k0, k1, all_start, all_end, has_diagonal, strict=True
        )
    ]


def _groups(first: Tensor, length: Tensor) -> list[Group]:
    groups = []
    step = (length + STEP - 1) // STEP
    for height in torch.unique(step[length > 0]).tolist():
        member = (step == height).nonzero().view(-1)
        for chunk in member.split(max(1, GROUP_ROWS // (height * STEP))):
            place_L = torch.arange(int(length[chunk].max()))
            present_GL = place_L < length[chunk][:, None]
            row_GL = first[chunk][:, None] + place_L * present_GL
            groups.append(Group(row_GL, present_GL))
    return groups


def _index_within(count: Tensor) -> Tensor:
    """0 .. count[i]-1 for each i, one after the other."""
    before = count.cumsum(0) - count
    return torch.arange(int(count.sum())) - before.repeat_interleave(count)
