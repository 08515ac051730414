"""What a summary computes itself."""

import pytest
from rayrank.run.summary import tokens_per_s, waiting_share
from rayrank.train.journal import StepLine


def step(number: int, tokens: int, seconds: float) -> StepLine:
    return StepLine(
        number, 0, number, 3, seconds, seconds / 4, 1, 0.5, 10, tokens, 2, 0.0, 1.0, 1.0
    )


def test_what_was_waited_for_batches_is_a_share_of_the_same_steps() -> None:
    steps = [step(1, 100, 10.0), step(2, 200, 1.0), step(3, 300, 1.5)]
    assert waiting_share(steps) == pytest.approx(0.25)


def test_the_first_step_is_not_timed_unless_it_is_alone() -> None:
    steps = [step(1, 100, 10.0), step(2, 200, 1.0), step(3, 300, 1.5)]
    assert tokens_per_s(steps) == pytest.approx(500 / 2.5)
    assert tokens_per_s(steps[:1]) == pytest.approx(10)
