"""Cuts a jagged batch into the pieces that attention on a CPU computes, from its integers alone.

What belongs to a query is counted in query rows, what belongs to a key in key rows, both of the
batch: where queries are the last tokens of each sequence, a query's own key stands `shift` behind
it.
"""

from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor

# A sequence with no more queries than this, which see no more keys, is computed with others.
SHORT = 128
# Numbers of queries within one step share a group, so padding is below one step per sequence.
STEP = 16
# Rows of one group or block: enough to fill a core, few enough for scores to stay in cache.
GROUP_ROWS = 2048
BLOCK_ROWS = 256


@dataclass(frozen=True)
class Block:
    """Query rows [q0, q1) of one sequence against key rows [k0, k1).

    Every row sees the keys in [all_start, all_end); the rows differ only outside it. Own keys stand
    at query rows + shift.
    """

    q0: int
    q1: int
    k0: int
    k1: int
    all_start: int
    all_end: int
    shift: int
    has_diagonal: bool

    @property
    def rows(self) -> int:
        return self.q1 - self.q0

    @property
    def columns(self) -> int:
        return self.k1 - self.k0


@dataclass(frozen=True)
class Long:
    """One head of a long sequence: its blocks, one after the other."""

    blocks: list[Block]
    head: int

    @property
    def area(self) -> int:
        """How much work it is, in scores of one head."""
        return sum(block.rows * (block.columns + 1) for block in self.blocks)


@dataclass(frozen=True)
class Group:
    """Short sequences: their queries [G, L] and the keys [G, K] they see, as rows of the batch, and
    which places hold one. A place without one repeats a row of the sequence, and is hidden."""

    query_GL: Tensor
    has_query_GL: Tensor
    own_GL: Tensor
    key_GK: Tensor
    has_key_GK: Tensor
    has_diagonal: bool
    heads: int

    @property
    def area(self) -> int:
        return self.heads * self.query_GL.numel() * (self.key_GK.shape[1] + 1)

    def unseen(self, plan: "Plan") -> Tensor:
        """[G, L, K]: the query may not see the key; places without one see and are seen by none."""
        key_G1K = self.key_GK[:, None, :]
        start_GL1, end_GL1 = (part[self.query_GL][..., None] for part in (plan.start, plan.end))
        seen_GLK = (key_G1K >= start_GL1) & (key_G1K < end_GL1)
        return ~(seen_GLK & self.has_key_GK[:, None, :] & self.has_query_GL[:, :, None])


@dataclass(frozen=True)
class Plan:
    pieces: list[Long | Group]
    """No two write to the same row of the same head."""
    start: Tensor  # [Q] first visible key row
    end: Tensor  # [Q] exclusive
    diagonal: Tensor  # [Q] bool: the own key lies outside what is seen, so it is added apart


@dataclass(frozen=True)
class _Kept:
    """A plan, and copies of what it was made of."""

    integers: tuple[Tensor | None, ...]
    keys: int
    heads: int
    plan: Plan


# The layers of a model, forward and backward, ask for the same two: of all tokens, and of the
# candidates alone. To compare integers costs a hundredth of a plan.
_KEPT: deque[_Kept] = deque(maxlen=2)


def plan_for(
    offsets: Tensor,
    query_offsets: Tensor,
    visible_end: Tensor,
    visible_start: Tensor | None,
    keys: int,
    heads: int,
) -> Plan:
    """What `make_plan` makes of these, or has made of the same integers just before."""
    asked = (offsets, query_offsets, visible_end, visible_start)
    for kept in tuple(_KEPT):  # another thread may add to it
        if (kept.keys, kept.heads) == (keys, heads) and all(map(_alike, kept.integers, asked)):
            return kept.plan
    with torch.inference_mode(False):  # of no mode: the next to use it may be in another
        plan = make_plan(offsets, query_offsets, visible_end, visible_start, keys, heads)
        copies = tuple(None if x is None else x.clone() for x in asked)
    _KEPT.appendleft(_Kept(copies, keys, heads, plan))
    return plan


def _alike(one: Tensor | None, other: Tensor | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.dtype == other.dtype and torch.equal(one, other)


def make_plan(
    offsets: Tensor,
    query_offsets: Tensor,
    visible_end: Tensor,
    visible_start: Tensor | None,
    keys: int,
    heads: int,
) -> Plan:
    """keys, heads: of the batch. ValueError for integers that do not fit."""
    _check_offsets(offsets, "offsets", keys)
    _check_offsets(query_offsets, "query_offsets", len(visible_end))
    queries_B, keys_B = query_offsets.diff(), offsets.diff()
    if bool((queries_B > keys_B).any()):
        b = int((queries_B > keys_B).nonzero()[0])
        raise ValueError(
            f"sequence {b} has {int(queries_B[b])} queries, but only {int(keys_B[b])} keys"
        )
    used = slice(int(query_offsets[-1]))  # rows behind it belong to no sequence

    def spread(of_B: Tensor) -> Tensor:
        return of_B.repeat_interleave(queries_B)

    first, length, shift = (
        spread(of) for of in (offsets[:-1], keys_B, offsets[1:] - query_offsets[1:])
    )
    end = visible_end[used].to(torch.int64)
    start = torch.zeros_like(end) if visible_start is None else visible_start[used].to(torch.int64)
    outside = (start < 0) | (end < 0) | (end > length)
    if bool(outside.any()):
        row = int(outside.nonzero()[0])
        raise ValueError(
            f"query {row} sees [{int(start[row])}, {int(end[row])}), "
            f"outside its sequence of {int(length[row])} tokens"
        )
    own = torch.arange(len(end)) + shift
    start, end = start + first, end + first
    diagonal = (own < start) | (own >= end)
    seen_B = _over_rows(end - first, queries_B, "amax")
    long_B = (queries_B > SHORT) | ((seen_B > SHORT) & (queries_B > 0))
    pieces: list[Long | Group] = [
        Long(blocks, head)
        for blocks in _blocks(
            query_offsets[:-1][long_B],
            queries_B[long_B],
            (offsets[1:] - query_offsets[1:])[long_B],
            Plan([], start, end, diagonal),
        )
        for head in range(heads)
    ]
    short_B = ~long_B & (queries_B > 0)
    pieces += _groups(
        query_offsets[:-1][short_B],
        queries_B[short_B],
        offsets[:-1][short_B],
        seen_B[short_B],
        own,
        diagonal,
        heads,
    )
    return Plan(pieces, start, end, diagonal)


def _check_offsets(offsets: Tensor, name: str, rows: int) -> None:
    falls = bool((offsets.diff() < 0).any())
    if int(offsets[0]) != 0 or int(offsets[-1]) > rows or falls:
        raise ValueError(
            f"{name} must rise from 0 to at most the number of rows, {rows}; "
            f"they go from {int(offsets[0])} to {int(offsets[-1])}"
            + (", and fall in between" if falls else "")
        )


def _blocks(first: Tensor, count: Tensor, shift: Tensor, plan: Plan) -> list[list[Block]]:
    """Of each sequence; first query row, number of queries, and distance to its keys."""
    parts = (count + BLOCK_ROWS - 1) // BLOCK_ROWS
    nth = _index_within(parts)
    q0 = first.repeat_interleave(parts) + nth * BLOCK_ROWS
    q1 = torch.minimum(q0 + BLOCK_ROWS, (first + count).repeat_interleave(parts))
    rows = q0.repeat_interleave(q1 - q0) + _index_within(q1 - q0)

    def over_rows(value: Tensor, how: str) -> list[int]:
        found: list[int] = _over_rows(value[rows], q1 - q0, how).tolist()
        return found

    k0 = over_rows(plan.start, "amin")
    k1 = over_rows(plan.end, "amax")
    all_start = over_rows(plan.start, "amax")
    all_end = over_rows(plan.end, "amin")
    has_diagonal = over_rows(plan.diagonal.to(torch.int64), "amax")
    each_shift = shift.repeat_interleave(parts).tolist()
    blocks = iter(
        Block(a, b, lo, max(lo, hi), alo, ahi, by, bool(d))
        for a, b, lo, hi, alo, ahi, by, d in zip(
            q0.tolist(), q1.tolist(), k0, k1, all_start, all_end, each_shift, has_diagonal,
            strict=True,
        )
    )  # fmt: skip
    return [[next(blocks) for _ in range(n)] for n in parts.tolist()]


def _groups(
    first: Tensor,
    count: Tensor,
    first_key: Tensor,
    seen: Tensor,
    own: Tensor,
    diagonal: Tensor,
    heads: int,
) -> list[Group]:
    """Of sequences: first query row, number of queries, first key row, number of keys seen."""
    groups = []
    step = (count + STEP - 1) // STEP
    for height in torch.unique(step).tolist():
        member = (step == height).nonzero().view(-1)
        member = member[torch.argsort(seen[member], stable=True)]
        for chunk in member.split(max(1, GROUP_ROWS // (height * STEP))):
            query_GL, has_query_GL = _places(first[chunk], count[chunk])
            key_GK, has_key_GK = _places(first_key[chunk], seen[chunk])
            groups.append(
                Group(
                    query_GL,
                    has_query_GL,
                    own[query_GL],
                    key_GK,
                    has_key_GK,
                    bool(diagonal[query_GL].any()),
                    heads,
                )
            )
    return groups


def _places(first: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """Rows [G, most], and whether there is one: the first is repeated where there is none."""
    place = torch.arange(int(count.max()))
    there = place < count[:, None]
    return first[:, None] + place * there, there


def _over_rows(value: Tensor, count: Tensor, how: str) -> Tensor:
    """Reduces stretches of `count` rows, one after the other; 0 of none."""
    stretch = torch.arange(len(count)).repeat_interleave(count)
    return value.new_zeros(len(count)).scatter_reduce_(0, stretch, value, how, include_self=False)


def _index_within(count: Tensor) -> Tensor:
    """0 .. count[i]-1 for each i, one after the other."""
    before = count.cumsum(0) - count
    return torch.arange(int(count.sum())) - before.repeat_interleave(count)
