"""Where every token stands in its user's sequence, and what it may see.

Order: profile | static part of each sequence | realtime of all sequences, merged in the order of
known_at | candidates. MTGR's dynamic mixed mask (arXiv 2505.18654, section 3.3) then needs one
integer per token: token i sees the prefix [0, visible_end[i]) and itself. The causal mask, for an
ablation, is another such integer.
"""

from collections.abc import Sequence as Several
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from hstu_kernels import jagged_concat
from torch.nn.functional import pad

from rayrank.data.jagged import JaggedBatch
from rayrank.schema import CANDIDATES, PROFILE, Group, Schema

Mask: TypeAlias = Literal["dynamic", "causal"]
"""What profile and static behaviours see of one another: everything, or what stands before them.

Behaviours of the window and candidates see the same by both. By the order of the tokens alone a
candidate would see the ones before it, and events that were known only after it was shown: what
became of its own row. That would be no other mask, but a leak.
"""


@dataclass(frozen=True)
class Sequence:
    """The layout of T tokens of B users, in segments: what lies side by side for every user."""

    offsets: torch.Tensor
    """int64 [B + 1]: where each user's sequence starts."""
    group_T: torch.Tensor
    """int64 [T]: the place of each token's group in `Schema.groups`."""
    visible_end: torch.Tensor
    """int64 [T], relative to the user's sequence."""
    segment_offsets: tuple[torch.Tensor, ...]
    """Per segment int64 [B + 1]: where each user's tokens start among the segment's."""
    segment_tokens: tuple[int, ...]
    """Per segment the number of its tokens."""


def sequence(
    batch: JaggedBatch, schema: Schema, mask: Mask = "dynamic", *, candidates: bool = True
) -> Sequence:
    """Lay out a batch, or (without candidates) what does not change with what is to be scored.

    Segments: profile, a static part for each sequence, the merged realtime, candidates. Works on
    the batch's device, without waiting for it.
    """
    place = {group: number for number, group in enumerate(schema.groups)}
    profile_B = torch.full(
        (batch.users,), len(schema.features_of(PROFILE.token)), device=batch.device
    )
    realtime = realtime_of(batch, schema.realtime)
    lengths = [profile_B, *(batch.lengths(group) for group in schema.static)]
    static_B = torch.stack(lengths).sum(0)
    counts = [batch.counts[group] for group in (PROFILE, *schema.static)]
    groups = [_constant(place[group], batch, group) for group in (PROFILE, *schema.static)]
    ends = [
        static_B.repeat_interleave(of_B, output_size=count)
        for of_B, count in zip(lengths, counts, strict=True)
    ]

    lengths.append(realtime.lengths_B)
    counts.append(len(realtime.known_at_R))
    groups.append(realtime_groups(batch, schema))
    of_R = realtime.users_R
    ends.append(static_B[of_R] + realtime.earlier(of_R, realtime.known_at_R, batch))
    if candidates:
        lengths.append(batch.lengths(CANDIDATES))
        counts.append(batch.candidates)
        groups.append(_constant(place[CANDIDATES], batch, CANDIDATES))
        of_C = users_of(batch, CANDIDATES)
        ends.append(static_B[of_C] + known_before(realtime, batch))

    offsets_SB = pad(torch.stack(lengths).cumsum(1), (1, 0))
    segment_offsets = offsets_SB.unbind()
    offsets = offsets_SB.sum(0)
    end_T = jagged_concat([e[:, None] for e in ends], segment_offsets).squeeze(1)
    if mask == "causal":  # of what is static; what others see stands before them already
        end_T = torch.minimum(end_T, _places(offsets, len(end_T)))
    return Sequence(
        offsets=offsets,
        group_T=jagged_concat([g[:, None] for g in groups], segment_offsets).squeeze(1),
        visible_end=end_T,
        segment_offsets=segment_offsets,
        segment_tokens=tuple(counts),
    )


@dataclass(frozen=True)
class Realtime:
    """When realtime behaviours of B users were known, which decides who may see them."""

    lengths_B: torch.Tensor
    """int64 [B]: behaviours per user."""
    known_at_R: torch.Tensor
    """int64 ms [R], ascending within a user."""

    @property
    def users_R(self) -> torch.Tensor:
        """int64 [R]: whose each one is."""
        return torch.repeat_interleave(self.lengths_B, output_size=len(self.known_at_R))

    def followed_by(self, new: "Realtime") -> "Realtime":
        """Of the same users, none of whose new behaviours was known before one of these."""
        offsets = [pad(part.lengths_B.cumsum(0), (1, 0)) for part in (self, new)]
        times = [part.known_at_R[:, None] for part in (self, new)]
        known_at_R = jagged_concat(times, offsets).squeeze(1)
        return Realtime(self.lengths_B + new.lengths_B, known_at_R)

    def earlier(
        self, users_N: torch.Tensor, times_N: torch.Tensor, batch: JaggedBatch
    ) -> torch.Tensor:
        """int64 [N]: how many behaviours of each one's user were known strictly before its time
        (ms). batch is of the same users and windows."""
        before = torch.searchsorted(
            _window_key(self.known_at_R, self.users_R, batch), _window_key(times_N, users_N, batch)
        )
        first_B = self.lengths_B.cumsum(0) - self.lengths_B
        return before - first_B[users_N]


def realtime_groups(batch: JaggedBatch, schema: Schema) -> torch.Tensor:
    """int64 [R]: the place in `Schema.groups` of each realtime behaviour's group, merged."""
    parts = [_constant(schema.groups.index(group), batch, group) for group in schema.realtime]
    return merge_realtime(batch, parts)


def realtime_of(batch: JaggedBatch, groups: Several[Group]) -> Realtime:
    """The realtime behaviours of a batch's users, of all sequences (`Schema.realtime`) or one."""
    if len(groups) == 1:  # ascends already
        return Realtime(batch.lengths(groups[0]), batch.times(groups[0]))
    none_B = torch.zeros_like(batch.window_start)
    lengths_B = torch.stack([none_B, *(batch.lengths(group) for group in groups)]).sum(0)
    return Realtime(lengths_B, merge_realtime(batch, [batch.times(group) for group in groups]))


def merge_realtime(batch: JaggedBatch, parts: Several[torch.Tensor]) -> torch.Tensor:
    """Realtime parts [n, ...], one of each sequence in the schema's order, as one [R, ...] in the
    order in which their behaviours were known."""
    if not parts:
        return batch.realtime_order  # of none
    return torch.cat(list(parts)).index_select(0, batch.realtime_order)


def known_before(realtime: Realtime, batch: JaggedBatch) -> torch.Tensor:
    """int64 [C]: how many of the user's realtime behaviours were known strictly before each
    candidate was shown. `realtime` is of the batch's users and windows."""
    return realtime.earlier(users_of(batch, CANDIDATES), batch.times(CANDIDATES), batch)


def users_of(batch: JaggedBatch, group: Group) -> torch.Tensor:
    """int64 [elements of a sequence's part, or candidates]: whose each one is."""
    return torch.repeat_interleave(batch.lengths(group), output_size=batch.counts[group])


def _places(offsets: torch.Tensor, tokens: int) -> torch.Tensor:
    """int64 [T]: where each token stands in its user's sequence."""
    start_T = torch.repeat_interleave(offsets[:-1], offsets.diff(), output_size=tokens)
    return torch.arange(tokens, device=offsets.device) - start_T


def _constant(value: int, batch: JaggedBatch, group: Group) -> torch.Tensor:
    return torch.full((batch.counts[group],), value, device=batch.device)


def _window_key(times: torch.Tensor, user: torch.Tensor, batch: JaggedBatch) -> torch.Tensor:
    """(user, time in the window) as one sortable integer: 2^40 ms are 34 years."""
    since = times - batch.window_start[user]
    return (user << 40) + since.clamp(0, (1 << 40) - 1)
