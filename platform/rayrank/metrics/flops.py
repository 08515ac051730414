"""How much work an HSTU encoder is."""

from typing import NamedTuple


class Attended(NamedTuple):
    """What an encoder is given."""

    tokens: int
    pairs: int
    """(query, key) that see each other: `visible_pairs` of user rows."""
    candidates: int
    candidate_pairs: int
    """Those whose query is a candidate."""


def hstu_flops(layers: int, width: int, given: Attended) -> int:
    """FLOPs of a forward pass, a multiplication and an addition counted as two.

    Per token and layer a projection to u, q, k and v, 8 width^2, and one back, 2 width^2; per pair
    two products of width each, 4 width. In the last layer keys and values of all tokens, and of
    candidates alone the rest. (Norms, gates and SiLU are hardly anything beside that.)
    """
    T, C = given.tokens, given.candidates
    whole = 10 * T * width**2 + 4 * given.pairs * width
    last = 4 * T * width**2 + 6 * C * width**2 + 4 * given.candidate_pairs * width
    return (layers - 1) * whole + last
