"""What a ranker is: logits for every candidate of a batch, probabilities and a loss from them."""

import torch
from torch import nn
from torch.nn import functional

from rayrank.data.jagged import JaggedBatch
from rayrank.schema import Schema


class Ranker(nn.Module):
    """The interface trainer, exporter and server know: `forward` over a JaggedBatch.

    Tasks are ESMM's (arXiv 1804.07931): the logit of a task with `given` is conditional on its
    parent, and its probability is the product along the chain.
    """

    def __init__(self, schema: Schema) -> None:
        super().__init__()
        self.schema = schema

    def forward(self, batch: JaggedBatch) -> torch.Tensor:
        """logits_CK, float32 [candidates, tasks], tasks in the schema's order."""
        raise NotImplementedError

    def log_probabilities(self, logits_CK: torch.Tensor) -> torch.Tensor:
        """log P(task) [candidates, tasks], along each task's chain of parents."""
        own_CK = functional.logsigmoid(logits_CK)
        chained: dict[str, torch.Tensor] = {}
        for k, (name, task) in enumerate(self.schema.tasks.items()):
            own_C = own_CK[:, k]
            chained[name] = own_C if task.given is None else own_C + chained[task.given]
        return torch.stack(list(chained.values()), dim=1)

    def probabilities(self, logits_CK: torch.Tensor) -> torch.Tensor:
        """P(task), float32 [candidates, tasks] in [0, 1]."""
        return self.log_probabilities(logits_CK.float()).exp()

    def loss_sum(self, logits_CK: torch.Tensor, batch: JaggedBatch) -> torch.Tensor:
        """Binary cross-entropy in nats, summed over candidates and tasks: a scalar.

        Summed, not averaged: the trainer divides by the candidates of the *global* batch.
        """
        log_p_CK = self.log_probabilities(logits_CK)
        total = logits_CK.new_zeros(())
        log_not: dict[str, torch.Tensor] = {}
        for k, (name, task) in enumerate(self.schema.tasks.items()):
            log_not[name] = functional.logsigmoid(-logits_CK[:, k])
            if task.given is not None:
                # 1 - pq = (1 - p) + p (1 - q), in logarithms: exact where pq rounds to 1.
                parent = list(self.schema.tasks).index(task.given)
                log_not[name] = torch.logaddexp(
                    log_not[task.given], log_p_CK[:, parent] + log_not[name]
                )
            y_C = batch.labels(name)
            total = total - (y_C * log_p_CK[:, k] + (1 - y_C) * log_not[name]).sum()
        return total
