"""The generative term of JRC (joint optimisation of ranking and calibration, arXiv 2208.06164).

The paper gives a candidate two logits, f_1 and f_0, with P(click | x) = softmax(f)_1. Read as the
energies of a joint model they also say which candidates x of a context the ones of label y are:
P(x | y, context) = exp(f_y(x)) / sum of exp(f_y(x')) over the context. Its loss is
-alpha log P(y | x) - (1 - alpha) log P(x | y, context).

A ranker here has one logit z, whose sigmoid is the probability: f_1 = z / 2 and f_0 = -z / 2. A
context is a request: what is shown together competes, and calibration across requests is left to
the log-loss.
"""

import torch
from torch.nn.functional import pad

from rayrank.data.jagged import JaggedBatch
from rayrank.model.sequence import users_of
from rayrank.schema import CANDIDATES, Schema


def contexts_of(batch: JaggedBatch, schema: Schema) -> torch.Tensor:
    """int64 [C], below C: the request of each candidate, or its user row where the schema names no
    request. Candidates of a request lie side by side and have one time, that of the request; two
    requests of a user that came in one millisecond are taken for one."""
    user_C, time_C = users_of(batch, CANDIDATES), batch.times(CANDIDATES)
    another = user_C[1:] != user_C[:-1]
    if schema.request is not None:
        another = another | (time_C[1:] != time_C[:-1])
    return pad(another.cumsum(0), (1, 0))[: batch.candidates]


def generative_sum(
    odds_C: torch.Tensor, label_C: torch.Tensor, weight_C: torch.Tensor, context_C: torch.Tensor
) -> torch.Tensor:
    """-log P(x | y, context), summed over candidates: a scalar.

    odds_C: log-odds of the task. label_C: 0 and 1. weight_C: 0 for those of which the label is not
    known; they are in nobody's context. One of weight 2 has the gradient of two alike. context_C:
    int64, below C.
    """
    known_C = weight_C > 0
    log_weight_C = torch.where(known_C, weight_C, 1).log()
    lost_C = torch.zeros_like(odds_C)
    for label, energy_C in ((1, odds_C / 2), (0, -odds_C / 2)):
        # No NaN of a candidate that takes no part meets the others: not even times 0.
        mass_C = torch.where(known_C, energy_C + log_weight_C, -torch.inf)
        of_label_C = known_C & (label_C == label)
        apart_C = _log_sum_exp(mass_C, context_C)[context_C] - mass_C
        lost_C = lost_C + torch.where(of_label_C, weight_C * apart_C, 0)
    return lost_C.sum()


def _log_sum_exp(values_C: torch.Tensor, context_C: torch.Tensor) -> torch.Tensor:
    """[C]: of each context, by its number; 0 of one in which all are -inf."""
    none_C = torch.full_like(values_C, -torch.inf)
    top_C = none_C.scatter_reduce(0, context_C, values_C.detach(), "amax")
    top_C = torch.where(top_C.isfinite(), top_C, 0)
    scaled_C = (values_C - top_C[context_C]).exp()
    sum_C = torch.zeros_like(values_C).index_add(0, context_C, scaled_C)
    return torch.where(sum_C > 0, sum_C, 1).log() + top_C
