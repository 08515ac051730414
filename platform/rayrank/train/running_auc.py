"""AUC of the last steps' predictions, each made before its step trained on it.

Ranks add up histograms with the totals that a step exchanges anyway, and whoever keeps the last
steps' reads AUCs off them: no exchange and no wait of their own. Predictions in one bin are ties,
which count half, so this AUC is off by at most half the share of (positive, negative) pairs that
share a bin; by less than 0.001 where log-odds spread by a deviation of 0.4 or more.
"""

from collections import deque
from collections.abc import Sequence

import numpy as np
import torch

BINS = 256
REACH = 10.0
"""Bins are of like width in log-odds, from -REACH to REACH; what is beyond is in the last one."""
WINDOW = 100
"""Steps that an AUC is of."""


@torch.no_grad()
def histogram(
    p_CK: torch.Tensor, labels_CK: torch.Tensor, weight_C: torch.Tensor | None
) -> torch.Tensor:
    """float64 [K, 2, BINS]: how many candidates (how much weight) of each task have label 0, and
    1, and a probability in each bin. Of labels that are NaN, none. Waits for no device."""
    tasks = p_CK.shape[1]
    odds_CK = torch.logit(p_CK.float()).nan_to_num(-REACH, REACH, -REACH).clamp(-REACH, REACH)
    bin_CK = ((odds_CK + REACH) * (BINS / (2 * REACH))).long().clamp(max=BINS - 1)
    label_CK = labels_CK.nan_to_num().long()
    task_K = torch.arange(tasks, device=p_CK.device)
    counts_CK = (~torch.isnan(labels_CK)).double()
    if weight_C is not None:
        counts_CK = counts_CK * weight_C[:, None]
    place_CK = (2 * task_K + label_CK) * BINS + bin_CK
    counts = counts_CK.new_zeros(tasks * 2 * BINS)
    return counts.index_add_(0, place_CK.flatten(), counts_CK.flatten()).view(tasks, 2, BINS)


def auc_of(counts: np.ndarray) -> float:
    """Of a task's histogram, float64 [2, BINS]; NaN where there is one class only."""
    negatives, positives = counts
    pairs = negatives.sum() * positives.sum()
    if pairs == 0:
        return float("nan")
    below = negatives.cumsum() - negatives
    return float((positives * (below + negatives / 2)).sum() / pairs)


class RunningAUC:
    """Of each task, over the last `WINDOW` steps."""

    def __init__(self, tasks: Sequence[str]) -> None:
        self.tasks = tasks
        self.steps = deque[np.ndarray](maxlen=WINDOW)

    def add(self, counts: np.ndarray) -> dict[str, float]:
        """Take in a step's histograms, float64 [tasks, 2, BINS]; task -> AUC, of those tasks of
        which both classes were seen."""
        self.steps.append(counts)
        aucs = {
            task: auc_of(of)
            for task, of in zip(self.tasks, np.sum(self.steps, axis=0), strict=True)
        }
        return {task: auc for task, auc in aucs.items() if not np.isnan(auc)}
