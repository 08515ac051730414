"""Where every token stands in its user's sequence, and what it may see.

Order: profile | history | realtime | candidates. MTGR's dynamic mixed mask (arXiv 2505.18654,
section 3.3) needs one integer per token, because every group ascends in time: token i sees the
prefix [0, visible_end[i]) and itself.
"""

from dataclasses import dataclass

import torch

from genrank.data.jagged import GROUPS, Group, JaggedBatch


@dataclass(frozen=True)
class Sequence:
    """The layout of T tokens of B users."""

    offsets: torch.Tensor
    """int64 [B + 1]: where each user's sequence starts."""
    group_T: torch.Tensor
    """int64 [T]: 0 profile, 1 history, 2 realtime, 3 candidate."""
    visible_end: torch.Tensor
    """int64 [T], relative to the user's sequence."""
    from_groups: torch.Tensor
    """int64 [T]: the token's row in [all profile; all history; all realtime; all candidates]."""
    candidate_rows: torch.Tensor
    """int64 [C]: where the candidates stand among the T tokens, in their own order."""


def sequence(batch: JaggedBatch, profile_features: int) -> Sequence:
    """Lay out a batch. Works on the batch's device, without waiting for it."""
    device = batch.device
    per_group: dict[Group, torch.Tensor] = {
        "profile": torch.full((batch.users,), profile_features, device=device)
    }
    for group in GROUPS[1:]:
        per_group[group] = batch.lengths(group)
    lengths_GB = torch.stack(list(per_group.values()))
    offsets = torch.zeros(batch.users + 1, dtype=torch.int64, device=device)
    torch.cumsum(lengths_GB.sum(0), 0, out=offsets[1:])
    # Where a group starts within each user's sequence, and in all.
    before_GB = lengths_GB.cumsum(0) - lengths_GB
    starts_GB = offsets[:-1] + before_GB

    positions, groups = [], []
    for g, group in enumerate(GROUPS):
        count = batch.counts[group]
        user = _users(lengths_GB[g], count)
        rank = torch.arange(count, device=device) - (lengths_GB[g].cumsum(0) - lengths_GB[g])[user]
        positions.append(starts_GB[g][user] + rank)
        groups.append(torch.full((count,), g, device=device))
    position = torch.cat(positions)
    from_groups = torch.empty_like(position)
    from_groups[position] = torch.arange(len(position), device=device)

    static_B = lengths_GB[0] + lengths_GB[1]
    ends = [static_B[_users(lengths_GB[g], batch.counts[GROUPS[g]])] for g in (0, 1)]
    ends += [_realtime_seen(batch, group, static_B) for group in ("realtime", "candidates")]
    return Sequence(
        offsets=offsets,
        group_T=torch.cat(groups)[from_groups],
        visible_end=torch.cat(ends)[from_groups],
        from_groups=from_groups,
        candidate_rows=positions[3],
    )


def _users(lengths_B: torch.Tensor, count: int) -> torch.Tensor:
    return torch.repeat_interleave(lengths_B, output_size=count)


def _realtime_seen(batch: JaggedBatch, group: Group, static_B: torch.Tensor) -> torch.Tensor:
    """visible_end of realtime or candidates: all static tokens, and the realtime tokens of the
    user that were known strictly before this one's time."""
    realtime_B = batch.lengths("realtime")
    # (user, time in the window) as one sortable integer: 2^40 ms are 34 years.
    known = _window_key(batch, "realtime")
    user = _users(batch.lengths(group), batch.counts[group])
    before = torch.searchsorted(known, _window_key(batch, group))
    first_B = realtime_B.cumsum(0) - realtime_B
    return static_B[user] + before - first_B[user]


def _window_key(batch: JaggedBatch, group: Group) -> torch.Tensor:
    user = _users(batch.lengths(group), batch.counts[group])
    since = batch.times(group) - batch.window_start[user]
    return (user << 40) + since.clamp(0, (1 << 40) - 1)
