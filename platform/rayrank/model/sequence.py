"""Where every token stands in its user's sequence, and what it may see.

Order: profile | history | realtime | candidates. MTGR's dynamic mixed mask (arXiv 2505.18654,
section 3.3) needs one integer per token, because every group ascends in time: token i sees the
prefix [0, visible_end[i]) and itself.
"""

from dataclasses import dataclass

import torch
from hstu_kernels import jagged_concat
from torch.nn.functional import pad

from rayrank.data.jagged import GROUPS, Group, JaggedBatch


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


def sequence(batch: JaggedBatch, profile_features: int) -> Sequence:
    """Lay out a batch. Works on the batch's device, without waiting for it."""
    profile_B = torch.full((batch.users,), profile_features, device=batch.device)
    lengths_GB = torch.stack([profile_B, *(batch.lengths(group) for group in GROUPS[1:])])
    offsets_GB = pad(lengths_GB.cumsum(1), (1, 0))
    group_offsets = offsets_GB.unbind()

    static_B = lengths_GB[0] + lengths_GB[1]
    ends = []
    for group, lengths_B in zip(GROUPS, lengths_GB, strict=True):
        end = static_B.repeat_interleave(lengths_B, output_size=batch.counts[group])
        ends.append(end if group in ("profile", "history") else end + known_before(batch, group))
    group_BG = torch.arange(len(GROUPS), device=batch.device).repeat(batch.users)
    return Sequence(
        offsets=offsets_GB.sum(0),
        group_T=group_BG.repeat_interleave(lengths_GB.T.flatten(), output_size=batch.tokens),
        visible_end=jagged_concat([end[:, None] for end in ends], group_offsets).squeeze(1),
        group_offsets=group_offsets,
        group_tokens=tuple(batch.counts[group] for group in GROUPS),
    )


def known_before(batch: JaggedBatch, group: Group) -> torch.Tensor:
    """int64 [elements of realtime or candidates]: how many of the user's realtime events were
    known strictly before each one's time."""
    realtime_B = batch.lengths("realtime")
    first_B = realtime_B.cumsum(0) - realtime_B
    before = torch.searchsorted(_window_key(batch, "realtime"), _window_key(batch, group))
    return before - first_B[_users(batch, group)]


def _window_key(batch: JaggedBatch, group: Group) -> torch.Tensor:
    """(user, time in the window) as one sortable integer: 2^40 ms are 34 years."""
    user = _users(batch, group)
    since = batch.times(group) - batch.window_start[user]
    return (user << 40) + since.clamp(0, (1 << 40) - 1)


def _users(batch: JaggedBatch, group: Group) -> torch.Tensor:
    return torch.repeat_interleave(batch.lengths(group), output_size=batch.counts[group])
