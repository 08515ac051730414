"""Ragged batches and comparisons for this package's tests and benchmarks."""

from typing import NamedTuple

import torch
from torch import Tensor

# What tests and benchmarks ask the tokens to see; see `visibility`.
PATTERNS = ("causal", "bidirectional", "mtgr", "window", "candidates")
WINDOW = 40


class Visibility(NamedTuple):
    """The integers of `hstu_attention`, on the CPU."""

    offsets: Tensor  # int64 [B + 1]
    visible_end: Tensor  # int64 [T]
    visible_start: Tensor | None  # int64 [T]

    def of_all(self) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """As the operator's bodies take them, for queries of all tokens."""
        return (self.offsets, *self)

    def of(self, rows_Q: Tensor) -> "Visibility":
        """For queries of some tokens."""
        start = self.visible_start
        return Visibility(
            self.offsets, self.visible_end[rows_Q], None if start is None else start[rows_Q]
        )

    def to(self, device: str) -> "Visibility":
        start = self.visible_start
        return Visibility(
            self.offsets.to(device),
            self.visible_end.to(device),
            None if start is None else start.to(device),
        )

    def pairs(self) -> int:
        """Query-key pairs that are visible: the least work attention can do."""
        first_T = self.offsets[:-1].repeat_interleave(self.offsets.diff())
        own = torch.arange(len(self.visible_end)) - first_T
        start = torch.zeros_like(own) if self.visible_start is None else self.visible_start
        inside = (start <= own) & (own < self.visible_end)
        return int(((self.visible_end - start).clamp(min=0) + ~inside).sum())


def visibility(pattern: str, lengths: list[int], generator: torch.Generator) -> Visibility:
    """Sequences of these lengths whose tokens see according to the pattern.

    "mtgr": the first half is static and sees itself whole, the next quarter is realtime, the rest
    are candidates; times are drawn, so neighbours may be known at once. "window": causal, at most
    `WINDOW` tokens back. "candidates": every token sees itself alone.
    """
    ends, starts = [torch.empty(0, dtype=torch.int64)], [torch.empty(0, dtype=torch.int64)]
    for length in lengths:
        position = torch.arange(length)
        if pattern in ("causal", "window"):
            ends.append(position + 1)
        elif pattern == "bidirectional":
            ends.append(torch.full((length,), length))
        elif pattern == "mtgr":
            static, realtime = length // 2, length // 4
            ends.append(mtgr_visible_end(static, realtime, length - static - realtime, generator))
        elif pattern == "candidates":
            ends.append(torch.zeros(length, dtype=torch.int64))
        else:
            raise ValueError(f"unknown pattern {pattern!r}; one of {', '.join(PATTERNS)}")
        starts.append((position - WINDOW).clamp(min=0))
    offsets = torch.tensor([0, *lengths]).cumsum(0)
    return Visibility(offsets, torch.cat(ends), torch.cat(starts) if pattern == "window" else None)


class Queries(NamedTuple):
    """The last tokens of each sequence, on the CPU."""

    rows_Q: Tensor  # int64 [Q]: which tokens they are
    offsets: Tensor  # int64 [B + 1]

    def to(self, device: str) -> "Queries":
        return Queries(self.rows_Q.to(device), self.offsets.to(device))


def last_tokens(offsets: Tensor, counts: list[int]) -> Queries:
    """So many of each sequence."""
    ends = offsets[1:].tolist()
    rows = [torch.arange(end - n, end) for end, n in zip(ends, counts, strict=True)]
    return Queries(
        torch.cat([torch.empty(0, dtype=torch.int64), *rows]), torch.tensor([0, *counts]).cumsum(0)
    )


def mtgr_visible_end(
    static: int, realtime: int, candidates: int, generator: torch.Generator
) -> Tensor:
    """What each token of one MTGR sequence sees, with times drawn at random."""
    known_at = torch.randint(max(realtime, 1), (realtime,), generator=generator).sort().values
    shown_at = torch.randint(realtime + 2, (candidates,), generator=generator).sort().values
    return torch.cat(
        [
            torch.full((static,), static),
            static + torch.searchsorted(known_at, known_at),
            static + torch.searchsorted(known_at, shown_at),
        ]
    )


def assert_close(actual: Tensor, expected: Tensor, tolerance: float, size: float = 0.0) -> None:
    """The error's norm is at most tolerance x the norm of what is expected.

    ``size`` is that of one term of the sum behind an element: where terms cancel, rounding is
    relative to them and not to the little that is left.
    """
    assert actual.shape == expected.shape, f"{list(actual.shape)} is not {list(expected.shape)}"
    error = (actual.double() - expected.double()).norm().item()
    allowed = tolerance * (expected.double().norm().item() + size * expected.numel() ** 0.5)
    assert error <= allowed, f"the error's norm is {error:.3g}, at most {allowed:.3g} allowed"
