"""What the line of a training run says."""

import pytest
from rayrank.run.in_words import epoch_in_words, recent, steps_in_words
from rayrank.train.journal import EpochLine, StepLine


def step(number: int, seconds: float, **more: object) -> StepLine:
    return StepLine(
        step=number,
        epoch=0,
        batches=2 * number,
        of=100,
        seconds=seconds,
        waited_s=seconds / 10,
        attempt=1,
        loss=1 / number,
        candidates=10,
        tokens=1000,
        users=5,
        auxiliary=0.0,
        gradient_norm=1.0,
        loss_scale=1.0,
        **more,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("seconds", "kept"),
    [([1.0], 1), ([20.0, 20.0], 1), ([4.0, 4.0, 4.0, 4.0], 3), ([4.0, 6.0, 4.0], 2), ([], 0)],
)
def test_it_looks_some_seconds_back(seconds: list[float], kept: int) -> None:
    steps = [step(number, of) for number, of in enumerate(seconds, 1)]
    assert recent(steps) == steps[len(steps) - kept :]


def test_everything_that_is_known() -> None:
    steps = [
        step(
            number,
            0.5 * number,
            auc={"click": 0.5, "order": 0.25 * number},
            flops=1.5e9,
            mfu=0.3 / number,
            balance=1 + number / 10,
            phases={"forward": number / 10, "backward": 0.2} if number > 1 else {},
        )
        for number in (1, 2)
    ]
    assert steps_in_words(steps) == (
        "loss 0.7500, AUC click 0.5000 order 0.5000, 1,333 tokens/s, 2 GFLOP/s, MFU 20.0%, "
        "balance 1.15, waiting 10.0%, 750.0 ms a step: forward 200.0 backward 200.0"
    )


def test_what_is_not_known_is_not_invented() -> None:
    assert steps_in_words([step(2, 0.5)]) == (
        "loss 0.5000, 2,000 tokens/s, MFU n/a, waiting 10.0%, 500.0 ms a step"
    )


@pytest.mark.parametrize(
    ("flops", "said"), [(3e3, "3e+03 FLOP/s"), (2e12, "2 TFLOP/s"), (1.234e15, "1.23 PFLOP/s")]
)
def test_rates_have_prefixes(flops: float, said: str) -> None:
    assert f", {said}, MFU n/a," in steps_in_words([step(1, 1.0, flops=flops)])


def test_an_epochs_end() -> None:
    line = EpochLine(step=7, epoch=0, metrics={"click": {"auc": 0.75, "gauc": 0.5}})
    assert epoch_in_words(line) == (
        "epoch 1 ended at step 7, on later data: click auc 0.7500 gauc 0.5000"
    )
    assert epoch_in_words(EpochLine(step=7, epoch=1, metrics={})) == (
        "epoch 2 ended at step 7, no later data to measure it on"
    )
