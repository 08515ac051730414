"""How many dense parameters each kind has, counted by hand: weights, and biases where there are."""

from itertools import pairwise

import pytest
from rayrank.model.flops import parameters

from .rankers import CONFIGS, ranker

VIEWS, BUYS, PROFILE, CANDIDATE = 21 + 2, 13 + 2, 13, 18
"""Columns: of a view item 8, tags 4, price 4, watched 1, click 4, and two ages; of a buy item 8,
price 4, paid 1, and two ages; of a user city 4, langs 4, age 4, income 1; of a candidate item 8,
tags 4, price 4, distance 1, ctr 1."""
USER = VIEWS + 1 + BUYS + 1 + PROFILE
"""Means of the static parts, how many, and the profile."""
ROW = USER + VIEWS + 1 + BUYS + 1 + CANDIDATE
"""And those of the realtime parts, and the candidate."""
TASKS, GROUPS, W = 2, 6, 32
"""Groups: profile, two sequences' static and realtime parts, candidates. W: a token's width."""


def linear(*widths: int) -> int:
    """Of linear layers in a row, with biases."""
    return sum(a * b + b for a, b in pairwise(widths))


TOKENIZER = (
    3 * linear(4, W)
    + linear(1, W)  # a token for each of a user's features
    + linear(VIEWS, W, W)
    + linear(BUYS, W, W)
    + linear(CANDIDATE, 4 * W, W)
)
HEADS = TASKS * linear(W, 2 * W, 1)
BY_HAND = {
    "mtgr": TOKENIZER
    + 3 * (linear(W, 4 * W) + linear(W, W) + 2 * GROUPS * 2 * W)
    + GROUPS * 2 * W
    + HEADS,
    "ablated": TOKENIZER + 2 * (linear(W, 3 * W) + linear(W, W) + 2 * 2 * W) + 2 * W + HEADS,
    "hstu": TOKENIZER + 2 * (linear(W, 4 * W) + 3 * W * W + 2 * 2 * W) + 2 * W + HEADS,
    "dlrm": linear(ROW, 16, TASKS),
    "deepfm": ROW * TASKS + ROW * 5 + 5 * TASKS + linear(ROW, 16, TASKS),
    "dcn": 2 * (ROW * 6 + linear(6, ROW)) + linear(ROW, 16, TASKS),
    # A unit reads both, and of what both have difference and product.
    "din": linear(VIEWS + CANDIDATE + 2 * 16, 7, 1)
    + linear(BUYS + CANDIDATE + 2 * 12, 7, 1)
    + linear(ROW + 2 * (VIEWS + BUYS), 16, TASKS),
    "mmoe": 3 * linear(ROW, 8) + TASKS * (ROW * 3 + linear(8, 4, 1)),
    # Two levels of two shared experts and one of each task; of the first a shared gate, of all.
    "ple": 4 * linear(ROW, 8)
    + TASKS * ROW * 3
    + ROW * 4
    + 4 * linear(8, 8)
    + TASKS * 8 * 3
    + TASKS * linear(8, 4, 1),
    "moe": 3 * linear(ROW, 8) + ROW * 3 + linear(8, TASKS),
    # Two queries of three columns; keys and values of each sequence; three experts and a gate.
    "user_tower": linear(USER, 2 * 3)
    + linear(VIEWS, 2 * 3)
    + linear(BUYS, 2 * 3)
    + 3 * linear(2 * 3 + USER, 6)
    + (2 * 3 + USER) * 3
    + linear(ROW + 6, 16, TASKS),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_dense_parameters_are_those_counted_by_hand(name: str) -> None:
    assert parameters(ranker(CONFIGS[name])) == BY_HAND[name]
