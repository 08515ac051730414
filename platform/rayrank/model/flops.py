"""How large a model is: its dense parameters, and FLOPs of a forward pass, a multiplication and an
addition counted as two."""

from typing import NamedTuple

import torch
from torch import nn

from rayrank.data.jagged import JaggedBatch
from rayrank.model.ranker import Ranker
from rayrank.model.sequence import Mask, known_before, realtime_of, users_of
from rayrank.schema import CANDIDATES, PROFILE, Schema


class Attended(NamedTuple):
    """What an encoder is given."""

    tokens: int
    pairs: int | torch.Tensor
    """(query, key) that see each other: `visible_pairs` of user rows."""
    candidates: int
    candidate_pairs: int | torch.Tensor
    """Those whose query is a candidate."""


def hstu_flops(
    layers: int, width: int, given: Attended, projected: int = 4, read: int = 1
) -> int | torch.Tensor:
    """FLOPs of an HSTU encoder's forward pass.

    Per token and layer a projection to u, q, k and v (`projected` of them), 2 width^2 each, and one
    back, of `read` times the width, 2 width^2 for each; per pair two products of width each,
    4 width. In the last layer keys and values of all tokens, and of candidates alone the rest.
    (Norms, gates and SiLU are hardly anything beside that.)
    """
    T, C = given.tokens, given.candidates
    rest = projected - 2 + read
    whole = 2 * (2 + rest) * T * width**2 + 4 * given.pairs * width
    last = 4 * T * width**2 + 2 * rest * C * width**2 + 4 * given.candidate_pairs * width
    return (layers - 1) * whole + last


def linear_flops(module: nn.Module) -> int:
    """Of all linear layers in a module, for one row that goes through each of them once."""
    linear = [part for part in module.modules() if isinstance(part, nn.Linear)]
    return sum(2 * part.in_features * part.out_features for part in linear)


def parameters(ranker: Ranker) -> int:
    """How many dense numbers a ranker learns, whole where they are sharded. (Of a table there are
    as many as it has ids, times its width.)"""
    return sum(parameter.numel() for parameter in ranker.dense_parameters().values())


def attended(batch: JaggedBatch, schema: Schema, mask: Mask = "dynamic") -> Attended:
    """What a mask lets the tokens of a batch see (`model.sequence`). Pairs are int64 scalars on the
    batch's device."""
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
    pairs_B = static_B.square()  # of what is static
    if mask == "causal":
        pairs_B = (pairs_B + static_B) // 2
    pairs = pairs_B.sum() + seen_R.sum() + candidate_pairs
    return Attended(batch.tokens, pairs, batch.candidates, candidate_pairs)
