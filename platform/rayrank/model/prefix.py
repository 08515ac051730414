"""What is kept of users from one request to the next."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Protocol, Self, runtime_checkable

import torch
from hstu_kernels import jagged_concat
from torch.nn.functional import pad

from rayrank.model.parts import Jagged
from rayrank.model.sequence import Realtime


@runtime_checkable
class Prefix(Protocol):
    """What `Ranker.encode_prefix` gives, where users' parts can be kept apart and put together."""

    def split(self) -> list[Self]:
        """One for each user, in memory of its own."""
        ...

    @staticmethod
    def join(prefixes: Sequence[Any]) -> Any:
        """Of several users, one after the other; at least one."""
        ...


@dataclass(frozen=True)
class HSTUPrefix:
    """What an HSTU encoder keeps of B users with S tokens of profile and sequences in all."""

    offsets: torch.Tensor
    """int64 [B + 1]: where each user's tokens start."""
    static_B: torch.Tensor
    """int64 [B]: how many of them every candidate sees: profile and static parts, the first."""
    realtime: Realtime
    keys: tuple[torch.Tensor, ...]
    """Per layer [S, D]."""
    values: tuple[torch.Tensor, ...]
    """Per layer [S, D]."""

    @property
    def keys_values(self) -> Jagged:
        """Of all layers: keys, then values."""
        return Jagged(self.offsets, (*self.keys, *self.values))

    def followed_by(
        self,
        offsets: torch.Tensor,
        realtime: Realtime,
        keys: Sequence[torch.Tensor],
        values: Sequence[torch.Tensor],
    ) -> "HSTUPrefix":
        """Of the same users, with N tokens after theirs: where each user's start, int64 [B + 1],
        their keys and values per layer [N, D]; realtime: of both, these and those."""

        def both(mine: Sequence[torch.Tensor], new: Sequence[torch.Tensor]) -> Any:
            return tuple(
                jagged_concat(parts, (self.offsets, offsets))
                for parts in zip(mine, new, strict=True)
            )

        return HSTUPrefix(
            self.offsets + offsets,
            self.static_B,
            realtime,
            both(self.keys, keys),
            both(self.values, values),
        )

    def split(self) -> list["HSTUPrefix"]:
        """One for each user, in memory of its own: a view would hold everybody's, or a batch."""
        lengths = self.offsets.diff().tolist()
        known = self.realtime.known_at_R.split(self.realtime.lengths_B.tolist())
        return [
            HSTUPrefix(
                self.offsets.new_tensor([0, length]),
                self.static_B[b : b + 1].clone(),
                Realtime(self.realtime.lengths_B[b : b + 1].clone(), known[b].clone()),
                tuple(_own(part, first, first + length) for part in self.keys),
                tuple(_own(part, first, first + length) for part in self.values),
            )
            for b, (first, length) in enumerate(
                zip(self.offsets.tolist()[:-1], lengths, strict=True)
            )
        ]

    @staticmethod
    def join(prefixes: Sequence["HSTUPrefix"]) -> "HSTUPrefix":
        """Of several users, one after the other; at least one."""
        if len(prefixes) == 1:
            return prefixes[0]
        lengths_B = torch.cat([prefix.offsets.diff() for prefix in prefixes])
        return HSTUPrefix(
            pad(lengths_B.cumsum(0), (1, 0)),
            torch.cat([prefix.static_B for prefix in prefixes]),
            Realtime(
                torch.cat([prefix.realtime.lengths_B for prefix in prefixes]),
                torch.cat([prefix.realtime.known_at_R for prefix in prefixes]),
            ),
            _layer_by_layer([prefix.keys for prefix in prefixes]),
            _layer_by_layer([prefix.values for prefix in prefixes]),
        )


def _own(part: torch.Tensor, first: int, last: int) -> torch.Tensor:
    """Rows in memory of their own, which they may be already."""
    rows = part[first:last]
    return rows if rows.nbytes == part.untyped_storage().nbytes() else rows.clone()


def _layer_by_layer(of_users: Sequence[tuple[torch.Tensor, ...]]) -> tuple[torch.Tensor, ...]:
    return tuple(torch.cat(of_layer) for of_layer in zip(*of_users, strict=True))


def kept_bytes(prefix: Any) -> int:
    """Of all tensors in a dataclass, and in the dataclasses and tuples in it."""
    if isinstance(prefix, torch.Tensor):
        return prefix.nbytes
    if isinstance(prefix, tuple):
        return sum(map(kept_bytes, prefix))
    if is_dataclass(prefix):
        return sum(kept_bytes(getattr(prefix, field.name)) for field in fields(prefix))
    return 0
