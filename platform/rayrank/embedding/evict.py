"""Which ids go, the same on any number of ranks.

Every id has an order, and those of the least order go: what decides is a set of ids and what is
known of each, never where they lie. How far up the orders it goes is found by counting them, in
16 bits at a time (a radix select over all ranks).
"""

from collections.abc import Sequence

import torch
import torch.distributed as dist

from rayrank.embedding.pool import Pool

FREED = 16
"""Where ids must go, so many that this part of the room is free: not again in the next step."""
DIGIT = 16
KEY_BITS, STEP_BITS, SIGHTING_BITS = 20, 24, 16
"""Of an order, with three of priority: 63."""
EVERY = (1 << 63) - 1


class All:
    """Of every rank, for what is on this rank's CPU."""

    def __init__(self, device: torch.device) -> None:
        """device: where the ranks' process group takes tensors."""
        self._device = device

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        return self._reduced(values, dist.ReduceOp.SUM)

    def most(self, values: torch.Tensor) -> torch.Tensor:
        return self._reduced(values, dist.ReduceOp.MAX)

    def _reduced(self, values: torch.Tensor, by: dist.ReduceOp.RedOpType) -> torch.Tensor:
        there = values.to(self._device)
        dist.all_reduce(there, by)
        return there.cpu()


def orders(pool: Pool, step: int, *, by_sightings: bool) -> torch.Tensor:
    """Of rows 1, 2, …, int64, not negative: ids of the least one go first. By priority; by
    sightings and then the last step, or by the last step alone; by the key at last, so that hardly
    two are equal. step: this one; ids not seen in the last 2^24 are equally old."""
    used = slice(1, int(pool.count) + 1)
    # In place, for millions of rows.
    order = (pool.last[used] - max(0, step - (1 << STEP_BITS) + 1)).clamp_(min=0).long()
    if by_sightings:
        seen = pool.sightings[used].clamp(max=(1 << SIGHTING_BITS) - 1).long()
        order |= seen.bitwise_left_shift_(STEP_BITS)
    priorities = [rules.priority for rules in pool.rules.values()]
    if any(priorities):
        first = torch.tensor(priorities, device=pool.device) << (SIGHTING_BITS + STEP_BITS)
        order |= first[pool.table[used].long()]
    order.bitwise_left_shift_(KEY_BITS)
    key = pool.keys[used] >> 8
    order |= key.bitwise_and_((1 << KEY_BITS) - 1)
    return order


def threshold(orders: Sequence[torch.Tensor], costs: Sequence[int], excess: int, all_: All) -> int:
    """The least order such that all ids up to it, of all ranks, cost `excess` or more together;
    there are so many. Collective. costs: of an id of each of `orders`."""
    held = list(orders)
    # What all have in common is not counted through.
    least = min((int(of.min()) for of in held if len(of)), default=EVERY)
    most = max((int(of.max()) for of in held if len(of)), default=0)
    least, most = (all_.most(torch.tensor([-least, most])) * torch.tensor([-1, 1])).tolist()
    bits = (least ^ most).bit_length()
    prefix, left = least >> bits, excess
    while bits:
        digit_bits = min(DIGIT, bits)
        bits -= digit_bits
        counts = torch.zeros(1 << digit_bits, dtype=torch.int64)
        for of, cost in zip(held, costs, strict=True):
            digits = (of >> bits) & ((1 << digit_bits) - 1)
            counts += cost * torch.bincount(digits, minlength=1 << digit_bits).cpu()
        upto = all_.sum(counts).cumsum(0)
        digit = int(torch.searchsorted(upto, left))
        left -= int(upto[digit - 1]) if digit else 0
        prefix = (prefix << digit_bits) | digit
        held = [of[(of >> bits) == prefix] for of in held]
    return prefix
