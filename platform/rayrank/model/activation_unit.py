"""DIN's local activation unit (arXiv 1706.06978, section 4.3): how much of a behaviour counts for a
candidate, and the sums of what counts, over pairs that are never all in memory."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.functional import linear, silu
from torch.utils.checkpoint import checkpoint

from rayrank.model.features import mlp
from rayrank.model.flops import linear_flops
from rayrank.model.segments import Layouts, Segments, named

PAIRS_AT_ONCE = 2**18
"""Of a behaviour and a candidate. Where there are more, the pairs go through the unit in pieces,
and in training each piece is computed again in the backward pass: memory is that of one piece."""


class Read(NamedTuple):
    """What the unit has read, of behaviours or of candidates: n of them."""

    features_ND: torch.Tensor
    first_NH: torch.Tensor
    """What its first layer makes of them."""

    def take(self, places: torch.Tensor) -> "Read":
        """Those at places [pairs]."""
        return Read(self.features_ND[places], self.first_NH[places])


class ActivationUnit(nn.Module):
    """a(e, v) = MLP([e, v, e - v, e * v]) of a behaviour e and a candidate v.

    No softmax over a user's behaviours: how many of them a candidate meets is information. Of
    e - v and e * v there are those columns that behaviour and candidate both have (of one feature,
    and so of one table); the paper's have the same features. Between its layers is SiLU, where the
    paper has Dice: that takes means over the batch, and a score would depend on other users.
    """

    places_e: torch.Tensor
    places_v: torch.Tensor

    def __init__(self, behaviour: Segments, candidate: Segments, hidden: Sequence[int]) -> None:
        super().__init__()
        of_candidate = dict(candidate)
        both = [(name, width) for name, width in behaviour if of_candidate.get(name) == width]
        self.columns = [
            *named("e", behaviour),
            *named("v", candidate),
            *named("e - v", both),
            *named("e * v", both),
        ]
        self._widths = [sum(w for _, w in part) for part in (behaviour, candidate, both, both)]
        self.first = nn.Linear(sum(self._widths), hidden[0])
        self.rest = mlp(*hidden, 1)
        # Where in a behaviour's and in a candidate's columns those stand that both have.
        names = [name for name, _ in both]
        self.register_buffer("places_e", _places(behaviour, names), persistent=False)
        self.register_buffer("places_v", _places(candidate, names), persistent=False)

    def layouts(self) -> Layouts:
        return {"first.weight": (None, self.columns)}

    # The first layer is linear: its part of e and of e - v is computed once per behaviour, that of
    # v and of v in e - v once per candidate, and only that of e * v once per pair.

    def of_behaviours(self, e_ND: torch.Tensor) -> Read:
        of_e, _, of_difference, _ = self.first.weight.split(self._widths, dim=1)
        return Read(e_ND, linear(e_ND, of_e.index_add(1, self.places_e, of_difference)))

    def of_candidates(self, v_CD: torch.Tensor) -> Read:
        _, of_v, of_difference, _ = self.first.weight.split(self._widths, dim=1)
        weight = of_v.index_add(1, self.places_v, -of_difference)
        return Read(v_CD, linear(v_CD, weight, self.first.bias))

    def forward(self, e: Read, v: Read) -> torch.Tensor:
        """a [pairs, 1], of each pair's behaviour and candidate."""
        *_, of_product = self.first.weight.split(self._widths, dim=1)
        e_times_v = e.features_ND[:, self.places_e] * v.features_ND[:, self.places_v]
        return self.rest(silu(e.first_NH + v.first_NH + linear(e_times_v, of_product)))

    def sums(
        self, behaviours: Read, candidates: Read, first_C: torch.Tensor, until_C: torch.Tensor
    ) -> torch.Tensor:
        """[candidates, D]: over the behaviours [first, until) that each may see, a(e, v) e.

        Waits for the device, once: how many pairs there are decides what is allocated.
        """
        ends_C = (until_C - first_C).cumsum(0)  # of each candidate's pairs
        pairs = int(ends_C[-1]) if len(ends_C) else 0

        def piece(start: int, stop: int, behaviours: Read, candidates: Read) -> torch.Tensor:
            pair_P = torch.arange(start, stop, device=ends_C.device)
            of_C = torch.searchsorted(ends_C, pair_P, right=True)
            # A candidate's last pair is its last visible behaviour.
            e = behaviours.take(until_C[of_C] - ends_C[of_C] + pair_P)
            a_P1 = self(e, candidates.take(of_C)).to(e.features_ND.dtype)
            none_CD = e.features_ND.new_zeros(len(ends_C), e.features_ND.shape[1])
            return none_CD.index_add(0, of_C, a_P1 * e.features_ND)

        if pairs <= PAIRS_AT_ONCE:  # with none too: parameters take part in every step
            return piece(0, pairs, behaviours, candidates)
        total_CD = torch.zeros_like(candidates.first_NH[:, :1])
        for start in range(0, pairs, PAIRS_AT_ONCE):
            stop = min(start + PAIRS_AT_ONCE, pairs)
            total_CD = total_CD + checkpoint(
                piece, start, stop, behaviours, candidates, use_reentrant=False
            )
        return total_CD

    def flops(self) -> tuple[int, int, int]:
        """For a behaviour, for a candidate, and for a pair of them."""
        e, v, _, product = (2 * width * self.first.out_features for width in self._widths)
        return e, v, product + linear_flops(self.rest)


def _places(columns: Segments, names: Sequence[str]) -> torch.Tensor:
    """int64 [n]: where the columns of some features stand among all."""
    start, found = 0, dict[str, range]()
    for name, width in columns:
        found[name] = range(start, start + width)
        start += width
    return torch.tensor([place for name in names for place in found[name]], dtype=torch.int64)
