"""Where every token stands in its user's sequence, and what it may see.

Order: profile | history | realtime | candidates. MTGR's dynamic mixed mask (arXiv 2505.18654,
section 3.3) needs one integer per token, because every group ascends in time: token i sees the
prefix [0, visible_end[i]) and itself.
"""

from collections.abc import Sequence as Several
from dataclasses import dataclass

import torch
from hstu_kernels import jagged_concat
from torch.nn.functional import pad

from rayrank.data.jagged import GROUPS, Group, JaggedBatch

PREFIX: tuple[Group, ...] = GROUPS[:-1]
"""The groups that do not change with what is to be scored."""


@dataclass(frozen=True)
class Sequence:
    """The layout of T tokens of B users."""

    offsets: torch.Tensor
    """int64 [B + 1]: where each user's sequence starts."""
    group_T: torch.Tensor
    """int64 [T]: 0 profile, 1 history, 2 realtime, 3 candidate."""
    visible_end: torch.Tensor
    """int64 [T], relative to the user's sequence."""
    group_offsets: tuple[torch.Tensor, ...]
    """Per group int64 [B + 1]: where each user's tokens start among the group's."""
    group_tokens: tuple[int, ...]
    """Per group the number of its tokens."""


@dataclass(frozen=True)
class Realtime:
    """When the realtime events of B users were known, which decides who may see them."""

    lengths_B: torch.Tensor
    """int64 [B]: events per user."""
    known_at_R: torch.Tensor
    """int64 ms [R], ascending within a user."""


def sequence(
    batch: JaggedBatch, profile_features: int, groups: Several[Group] = GROUPS
) -> Sequence:
    """Lay out a batch: all its groups, or the first ones (`PREFIX`). Works on the batch's device,
    without waiting for it."""
    profile_B = torch.full((batch.users,), profile_features, device=batch.device)
    lengths_GB = torch.stack([profile_B, *(batch.lengths(group) for group in groups[1:])])
    offsets_GB = pad(lengths_GB.cumsum(1), (1, 0))
    group_offsets = offsets_GB.unbind()
    group_tokens = tuple(batch.counts[group] for group in groups)

    static_B = lengths_GB[0] + lengths_GB[1]
    realtime = realtime_of(batch)
    ends = []
    for group, lengths_B in zip(groups, lengths_GB, strict=True):
        end = static_B.repeat_interleave(lengths_B, output_size=batch.counts[group])
        if group not in ("profile", "history"):
            end = end + known_before(realtime, batch, group)
        ends.append(end[:, None])
    group_BG = torch.arange(len(groups), device=batch.device).repeat(batch.users)
    return Sequence(
        offsets=offsets_GB.sum(0),
        group_T=group_BG.repeat_interleave(lengths_GB.T.flatten(), output_size=sum(group_tokens)),
        visible_end=jagged_concat(ends, group_offsets).squeeze(1),
        group_offsets=group_offsets,
        group_tokens=group_tokens,
    )


def realtime_of(batch: JaggedBatch) -> Realtime:
    """The realtime events of a batch's users."""
    return Realtime(batch.lengths("realtime"), batch.times("realtime"))


def known_before(realtime: Realtime, batch: JaggedBatch, group: Group) -> torch.Tensor:
    """int64 [elements of realtime or candidates]: how many of the user's realtime events were
    known strictly before each one's time. `realtime` is of the batch's users and windows."""
    lengths_B, known_at_R = realtime.lengths_B, realtime.known_at_R
    of_R = torch.repeat_interleave(lengths_B, output_size=len(known_at_R))
    of = users_of(batch, group)
    before = torch.searchsorted(
        _window_key(known_at_R, of_R, batch), _window_key(batch.times(group), of, batch)
    )
    first_B = lengths_B.cumsum(0) - lengths_B
    return before - first_B[of]


def users_of(batch: JaggedBatch, group: Group) -> torch.Tensor:
    """int64 [elements of history, realtime or candidates]: whose each one is."""
    return torch.repeat_interleave(batch.lengths(group), output_size=batch.counts[group])


def _window_key(times: torch.Tensor, user: torch.Tensor, batch: JaggedBatch) -> torch.Tensor:
    """(user, time in the window) as one sortable integer: 2^40 ms are 34 years."""
    since = times - batch.window_start[user]
    return (user << 40) + since.clamp(0, (1 << 40) - 1)
