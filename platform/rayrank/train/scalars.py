"""A line of the journal as named numbers, as tools for watching take them."""

from math import isfinite

from rayrank.train.journal import EpochLine, StepLine


def scalars_of(line: StepLine | EpochLine) -> dict[str, float]:
    """Name -> number: `loss`, `auc/click`, `speed/…`, `seconds/…`, `tables/…` of a step;
    `later/click/auc`, … of an epoch. What a line does not know has no name in it."""
    if isinstance(line, EpochLine):
        return {
            f"later/{task}/{metric}": value
            for task, metrics in line.metrics.items()
            for metric, value in metrics.items()
        }
    known: dict[str, float | None] = {
        "loss": line.loss,
        "auxiliary": line.auxiliary or None,
        "gradient_norm": line.gradient_norm if isfinite(line.gradient_norm) else None,
        "loss_scale": line.loss_scale if line.loss_scale != 1 else None,
        **{f"auc/{task}": auc for task, auc in line.auc.items()},
        "speed/tokens_per_s": line.tokens / line.seconds,
        "speed/tflops_per_s": None if line.flops is None else line.flops / line.seconds / 1e12,
        "speed/mfu": line.mfu,
        "speed/balance": line.balance,
        "seconds/step": line.seconds,
        **{f"seconds/{phase}": seconds for phase, seconds in line.phases.items()},
        **{
            f"tables/{name}/{what}": value
            for name, told in line.tables.items()
            for what, value in told.items()
        },
        "batch/candidates": line.candidates,
        "batch/tokens": line.tokens,
        "batch/users": line.users,
    }
    return {name: value for name, value in known.items() if value is not None}
