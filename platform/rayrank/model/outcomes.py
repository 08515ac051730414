"""What a logit says of its task: a probability along a chain of tasks, or a number.

Binary tasks are ESMM's (arXiv 1804.07931): the logit of a task with `given` is conditional on its
parent, and its probability is the product along the chain. The logit of a number x is log(1 + x),
less its mean and by its deviation over the training rows: on a logarithmic scale being off by a
factor costs a short watch as much as a long one, and so scaled a number neither drowns the tasks
beside it nor has to be found from far away.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch.nn import functional

from rayrank.schema import Task

LARGEST = torch.finfo(torch.float32).max


class LabelScales(NamedTuple):
    """Of log(1 + x) of each task that is a number; 0 and 1 for others."""

    mean_K: torch.Tensor
    deviation_K: torch.Tensor


def predictions(
    tasks: Mapping[str, Task], logits_CK: torch.Tensor, scales: LabelScales
) -> torch.Tensor:
    """[candidates, tasks]: P(task) in [0, 1], or exp(mean + deviation z) - 1, at least 0, for a
    number."""
    logs_CK = scales.mean_K + scales.deviation_K * logits_CK
    log_p = log_probabilities(tasks, logits_CK)
    columns = [
        log_p[name].exp() if name in log_p else logs_CK[:, k].expm1().clamp(0, LARGEST)
        for k, name in enumerate(tasks)
    ]
    return torch.stack(columns, dim=1)


def losses(
    tasks: Mapping[str, Task],
    logits_CK: torch.Tensor,
    labels_CK: torch.Tensor,
    scales: LabelScales,
) -> torch.Tensor:
    """[candidates, tasks]: the binary cross-entropy in nats, or the squared error of log(1 + x), in
    its deviations, for a number. labels_CK float32, none of them NaN."""
    log_p = log_probabilities(tasks, logits_CK)
    log_not = log_complements(tasks, logits_CK, log_p)
    columns = []
    for k, (name, task) in enumerate(tasks.items()):
        z_C, y_C = logits_CK[:, k], labels_CK[:, k]
        if task.kind == "number":
            wanted_C = (y_C.log1p() - scales.mean_K[k]) / scales.deviation_K[k]
            columns.append((z_C - wanted_C).square())
            continue
        columns.append(-(y_C * log_p[name] + (1 - y_C) * log_not[name]))
    return torch.stack(columns, dim=1)


def log_probabilities(
    tasks: Mapping[str, Task], logits_CK: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Binary task -> log P(task) [candidates], along its chain of parents."""
    chained: dict[str, torch.Tensor] = {}
    for k, (name, task) in enumerate(tasks.items()):
        if task.kind == "binary":
            own_C = functional.logsigmoid(logits_CK[:, k])
            chained[name] = own_C if task.given is None else own_C + chained[task.given]
    return chained


def log_complements(
    tasks: Mapping[str, Task], logits_CK: torch.Tensor, log_p: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Binary task -> log(1 - P(task)) [candidates]. log_p: as `log_probabilities` gives it."""
    log_not: dict[str, torch.Tensor] = {}
    for k, (name, task) in enumerate(tasks.items()):
        if task.kind == "binary":
            log_not[name] = functional.logsigmoid(-logits_CK[:, k])
            if task.given is not None:
                # 1 - pq = (1 - p) + p (1 - q), in logarithms: exact where pq rounds to 1.
                of_parent, p_parent = log_not[task.given], log_p[task.given]
                log_not[name] = torch.logaddexp(of_parent, p_parent + log_not[name])
    return log_not


def log_odds(tasks: Mapping[str, Task], logits_CK: torch.Tensor) -> dict[str, torch.Tensor]:
    """Binary task -> log P(task) / (1 - P(task)) [candidates]: its logit, or along a chain what
    would be the logit of its probability."""
    log_p = log_probabilities(tasks, logits_CK)
    log_not = log_complements(tasks, logits_CK, log_p)
    return {
        name: logits_CK[:, k] if task.given is None else log_p[name] - log_not[name]
        for k, (name, task) in enumerate(tasks.items())
        if task.kind == "binary"
    }
