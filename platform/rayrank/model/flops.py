"""How much work a model is: FLOPs of a forward pass, a multiplication and an addition counted as
two."""

from typing import NamedTuple

import torch
from torch import nn

from rayrank.data.jagged import JaggedBatch
from rayrank.model.sequence import known_before, realtime_of, users_of
from rayrank.schema import CANDIDATES, PROFILE, Schema


class Attended(NamedTuple):
    """What an encoder is given."""

    tokens: int
    pairs: int | torch.Tensor
    """(query, key) that see each other: `visible_pairs` of user rows."""
    candidates: int
    candidate_pairs: int | torch.Tensor
    """Those whose query is a candidate."""


def hstu_flops(layers: int, width: int, given: Attended) -> int | torch.Tensor:
    """FLOPs of an HSTU encoder's forward pass.

    Per token and layer a projection to u, q, k and v, 8 width^2, and one back, 2 width^2; per pair
    two products of width each, 4 width. In the last layer keys and values of all tokens, and of
    candidates alone the rest. (Norms, gates and SiLU are hardly anything beside that.)
    """
    T, C = given.tokens, given.candidates
    whole = 10 * T * width**2 + 4 * given.pairs * width
    last = 4 * T * width**2 + 6 * C * width**2 + 4 * given.candidate_pairs * width
    return (layers - 1) * whole + last


def linear_flops(module: nn.Module) -> int:
    """Of all linear layers in a module, for one row that goes through each of them once."""
    linear = [part for part in module.modules() if isinstance(part, nn.Linear)]
    return sum(2 * part.in_features * part.out_features for part in linear)


def attended(batch: JaggedBatch, schema: Schema) -> Attended:
    """What MTGR's mask lets the tokens of a batch see (`model.sequence`). Pairs are int64 scalars
    on the batch's device."""
    of_profile = len(schema.features_of(PROFILE.token))
    static_B = torch.full_like(batch.window_start, of_profile)
    for group in schema.static:
        static_B = static_B + batch.lengths(group)
    realtime = realtime_of(batch, schema.realtime)
    of_R, of_C = realtime.users_R, users_of(batch, CANDIDATES)
    # Everyone sees what is static; realtime and candidates themselves too, and what was earlier.
    seen_R = static_B[of_R] + realtime.earlier(of_R, realtime.known_at_R, batch) + 1
    seen_C = static_B[of_C] + known_before(realtime, batch) + 1
    candidate_pairs = seen_C.sum()
    pairs = static_B.square().sum() + seen_R.sum() + candidate_pairs
    return Attended(batch.tokens, pairs, batch.candidates, candidate_pairs)
