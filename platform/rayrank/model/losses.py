"""What training minimises of logits: the log-loss (or squared error) of each task, and what it asks
for beside it (`tasks.NAME.loss`).

All of it is a sum over candidates and pairs, each term of one user row alone, so that its gradient
does not depend on how users are dealt to batches and ranks.
"""

import torch

from rayrank.data.jagged import JaggedBatch
from rayrank.model.jrc import contexts_of, generative_sum
from rayrank.model.outcomes import LabelScales, log_odds, losses
from rayrank.model.pairwise import pairwise_sums
from rayrank.model.sequence import users_of
from rayrank.schema import CANDIDATES, Schema


def loss_sums(
    schema: Schema,
    logits_CK: torch.Tensor,
    labels_CK: torch.Tensor,
    batch: JaggedBatch,
    scales: LabelScales,
) -> torch.Tensor:
    """[tasks]: of the batch's candidates whose label is known (not NaN), each by its weight."""
    known_CK = ~torch.isnan(labels_CK)
    # No NaN meets a logit, not even for a product with 0: 0 x NaN in a gradient is NaN.
    labels_CK = labels_CK.nan_to_num()
    loss_CK = losses(schema.tasks, logits_CK, labels_CK, scales)
    loss_CK = torch.where(known_CK, loss_CK, 0)
    sums_K = (loss_CK if batch.weight is None else loss_CK * batch.weight[:, None]).sum(0)
    told = [(k, task.loss) for k, task in enumerate(schema.tasks.values())]
    with_jrc = [(k, loss.jrc) for k, loss in told if loss.jrc > 0]
    with_pairs = [(k, loss.pairwise) for k, loss in told if loss.pairwise > 0]
    if not with_jrc and not with_pairs:
        return sums_K

    weight_CK = known_CK.to(logits_CK)
    weight_CK = weight_CK if batch.weight is None else weight_CK * batch.weight[:, None]
    odds, sums = log_odds(schema.tasks, logits_CK), list(sums_K)
    of_task = {
        k: (odds[name], labels_CK[:, k], weight_CK[:, k])
        for k, name in enumerate(schema.tasks)
        if name in odds
    }
    if with_jrc:
        context_C = contexts_of(batch, schema)
        for k, share in with_jrc:
            sums[k] = (1 - share) * sums[k] + share * generative_sum(*of_task[k], context_C)
    if with_pairs:
        odds_SC, label_SC, weight_SC = (
            torch.stack(of_each)
            for of_each in zip(*(of_task[k] for k, _ in with_pairs), strict=True)
        )
        of_user_C = users_of(batch, CANDIDATES)
        pairs_S = pairwise_sums(odds_SC, label_SC, weight_SC, of_user_C, batch.users)
        for (k, weight), pairs in zip(with_pairs, pairs_S, strict=True):
            sums[k] = sums[k] + weight * pairs
    return torch.stack(sums)
