"""What is seen of a step beside its loss: predictions, work, and how it is shared out.

It travels with the totals that a step adds up over its ranks anyway: numbers whose sums over ranks,
and over the batches that make one step, mean something.
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.distributed as dist

from rayrank.data.jagged import JaggedBatch
from rayrank.model.ranker import Ranker
from rayrank.train.running_auc import BINS, histogram

TRAINING_PASSES = 3
"""A backward pass is twice the work of a forward pass. (What `recompute` does again is no progress,
and not counted.)"""


class Observed(NamedTuple):
    """Of a step, over all ranks."""

    histograms: np.ndarray
    """float64 [binary tasks, 2, BINS]: `running_auc.histogram`."""
    flops: float | None
    """Of the model, forward and backward; None where it does not tell."""
    balance: float
    """The work of the rank that has most, by the mean over ranks: FLOPs, or tokens of a model that
    does not tell FLOPs."""


class Observer:
    """Of one model."""

    def __init__(self, ranker: Ranker) -> None:
        tasks = ranker.schema.tasks
        self.ranker = ranker
        self.tasks = [name for name, task in tasks.items() if task.kind == "binary"]
        """Those that have an AUC."""
        self._columns = [k for k, task in enumerate(tasks.values()) if task.kind == "binary"]

    @torch.no_grad()
    def own(self, logits_CK: torch.Tensor, batch: JaggedBatch) -> torch.Tensor:
        """float64 [2 x ranks + 2 x BINS x binary tasks] of this rank's batch, on its device, for
        which nothing waits. To be added over ranks, and over the batches of a step."""
        of_ranks = torch.zeros(
            2, dist.get_world_size(), dtype=torch.float64, device=logits_CK.device
        )
        of_ranks[0, dist.get_rank()] = batch.tokens
        flops = self.ranker.forward_flops(batch)
        if flops is not None:
            of_ranks[1, dist.get_rank()] = flops
        p_CK = self.ranker.predictions(logits_CK)[:, self._columns]
        labels = [batch.labels(task) for task in self.tasks]
        labels_CK = torch.stack(labels, dim=1) if labels else p_CK
        return torch.cat([of_ranks.flatten(), histogram(p_CK, labels_CK, batch.weight).flatten()])

    def read(self, total: torch.Tensor) -> Observed:
        """What the sum of `own` says, in CPU memory."""
        numbers = total.numpy()
        of_ranks = numbers[: 2 * dist.get_world_size()].reshape(2, -1)
        tokens, flops = of_ranks
        work = flops if flops.any() else tokens
        return Observed(
            numbers[of_ranks.size :].reshape(len(self.tasks), 2, BINS),
            TRAINING_PASSES * float(flops.sum()) if flops.any() else None,
            float(work.max() / work.mean()),
        )
