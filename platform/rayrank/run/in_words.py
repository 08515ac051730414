"""What a training run's journal tells a person, in one line."""

from typing import get_args

from rayrank.train.journal import EpochLine, StepLine
from rayrank.train.phases import Phase

RECENT_S = 10.0
"""How long back a line looks."""
PREFIXES = {"P": 1e15, "T": 1e12, "G": 1e9, "M": 1e6}


def recent(steps: list[StepLine]) -> list[StepLine]:
    """The last ones: `RECENT_S` of them, or a bit more."""
    first, seconds = len(steps), 0.0
    while first > 0 and seconds < RECENT_S:
        first -= 1
        seconds += steps[first].seconds
    return steps[first:]


def steps_in_words(steps: list[StepLine]) -> str:
    """Of some steps in a row, one at least: mean loss, AUC as the last one tells it, rates over
    their time, mean balance, and milliseconds of each phase in a step."""
    last, seconds = steps[-1], sum(step.seconds for step in steps)
    told = [f"loss {sum(step.loss for step in steps) / len(steps):.4f}"]
    if last.auc:
        told.append("AUC " + " ".join(f"{task} {auc:.4f}" for task, auc in last.auc.items()))
    told.append(f"{sum(step.tokens for step in steps) / seconds:,.0f} tokens/s")
    if last.flops is not None:
        told.append(_flops_per_s(sum(step.flops or 0.0 for step in steps) / seconds))
    # Of a device of which no peak is known there is none, and a guess would be read as a fact.
    mfu = sum((step.mfu or 0.0) * step.seconds for step in steps) / seconds
    told.append("MFU n/a" if last.mfu is None else f"MFU {mfu:.1%}")
    balances = [step.balance for step in steps if step.balance is not None]
    if balances:
        told.append(f"balance {sum(balances) / len(balances):.2f}")
    told.append(f"waiting {sum(step.waited_s for step in steps) / seconds:.1%}")
    each = " ".join(f"{phase} {ms:.1f}" for phase, ms in _phases_ms(steps).items())
    told.append(f"{1000 * seconds / len(steps):.1f} ms a step" + (f": {each}" if each else ""))
    return ", ".join(told)


def epoch_in_words(line: EpochLine) -> str:
    """How good the ranker is on later data at the end of an epoch."""
    told = [
        f"{task} " + " ".join(f"{metric} {value:.4f}" for metric, value in metrics.items())
        for task, metrics in line.metrics.items()
    ]
    later = f"on later data: {', '.join(told)}" if told else "no later data to measure it on"
    return f"epoch {line.epoch + 1} ended at step {line.step}, {later}"


def _flops_per_s(rate: float) -> str:
    for prefix, size in PREFIXES.items():
        if rate >= size:
            return f"{rate / size:.3g} {prefix}FLOP/s"
    return f"{rate:.3g} FLOP/s"


def _phases_ms(steps: list[StepLine]) -> dict[str, float]:
    """Mean per step, of those steps that have phases; of phases that there were."""
    timed = [step.phases for step in steps if step.phases]
    sums = {name: sum(phases.get(name, 0.0) for phases in timed) for name in get_args(Phase)}
    return {name: 1000 * seconds / len(timed) for name, seconds in sums.items() if seconds > 0}
