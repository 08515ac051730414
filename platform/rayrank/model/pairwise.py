"""RankNet's loss (Burges et al. 2005) within user rows: a positive above a negative of one user.

A pair costs softplus(-(z_positive - z_negative)), in nats. Pairs are listed, none is padded: time
and memory grow with their number, which in a row is its positives times its negatives.
"""

import torch
from torch.nn.functional import softplus

NEGATIVE, POSITIVE, UNKNOWN = 0, 1, 2
KINDS = 3


def pairwise_sums(
    odds_SC: torch.Tensor,
    label_SC: torch.Tensor,
    weight_SC: torch.Tensor,
    user_C: torch.Tensor,
    users: int,
) -> torch.Tensor:
    """[S] of so many tasks: of each user row the mean over its pairs, times how many of its labels
    are known, summed over rows; 0 of a row of one class.

    odds_SC: log-odds. label_SC: 0 and 1. weight_SC: 0 where the label is not known; a pair has the
    product of two. user_C: int64, ascending, below `users`. Waits for the device once, to learn how
    many pairs there are.
    """
    tasks = len(odds_SC)
    # A row of a task has a number of its own, R = S x users in all: tasks need no loop.
    of_task_S1 = torch.arange(tasks, device=user_C.device)[:, None] * users
    row_N = (of_task_S1 + user_C).flatten()
    odds_N, weight_N = odds_SC.flatten(), weight_SC.flatten()
    kind_N = torch.where(weight_N > 0, (label_SC.flatten() > 0).long(), UNKNOWN)
    place_N = KINDS * row_N + kind_N
    rows = tasks * users
    count_R3 = _per_place(torch.ones_like(place_N), place_N, rows)
    mass_R3 = _per_place(weight_N, place_N, rows)
    order_N = torch.argsort(place_N, stable=True)  # by row, its negatives before its positives

    negatives_R, positives_R = count_R3[:, NEGATIVE], count_R3[:, POSITIVE]
    pairs_R = negatives_R * positives_R
    row_P = torch.repeat_interleave(pairs_R)
    number_P = torch.arange(len(row_P), device=row_P.device) - (pairs_R.cumsum(0) - pairs_R)[row_P]
    of_row_R = count_R3.sum(1)
    first_P = (of_row_R.cumsum(0) - of_row_R)[row_P]
    negatives_P = negatives_R[row_P]
    negative_P = order_N[first_P + number_P % negatives_P]
    positive_P = order_N[first_P + negatives_P + number_P // negatives_P]

    # Of a row's pairs, each one's share; and what the row counts.
    share_P = (weight_N[negative_P] / mass_R3[:, NEGATIVE][row_P]) * (
        weight_N[positive_P] / mass_R3[:, POSITIVE][row_P]
    )
    counts_P = mass_R3[:, :UNKNOWN].sum(1)[row_P]
    above_P = odds_N.index_select(0, positive_P) - odds_N.index_select(0, negative_P)
    lost_P = counts_P * share_P * softplus(-above_P)
    return odds_N.new_zeros(rows).index_add(0, row_P, lost_P).view(tasks, users).sum(1)


def _per_place(values_N: torch.Tensor, place_N: torch.Tensor, rows: int) -> torch.Tensor:
    """[rows, KINDS]: their sums."""
    return values_N.new_zeros(rows * KINDS).index_add(0, place_N, values_N).view(rows, KINDS)
