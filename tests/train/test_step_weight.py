"""Candidates count alike, in small steps and in large ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rayrank.train.step_weight import KEPT, StepWeight


def test_steps_of_as_many_candidates_count_alike() -> None:
    weight = StepWeight()
    assert [weight.of(30) for _ in range(400)] == pytest.approx([1.0] * 400, abs=1e-12)


def test_a_step_counts_by_its_candidates() -> None:
    """By hand: (0.99 x 30 + 10) / 1.99 candidates on average, of which 10 are so many."""
    weight = StepWeight()
    assert weight.of(30) == 1
    assert weight.of(10) == pytest.approx(10 / ((KEPT * 30 + 10) / (KEPT + 1)))


def test_it_follows_steps_that_grow() -> None:
    """Such as those of a run that is resumed on more workers."""
    weight = StepWeight()
    for _ in range(500):
        weight.of(10)
    assert weight.of(20) > 1.9
    for _ in range(500):
        last = weight.of(20)
    assert last == pytest.approx(1, abs=0.01)


@given(st.lists(st.integers(1, 1000), min_size=2, max_size=30), st.integers(1, 29))
def test_it_goes_on_from_its_state(steps: list[int], cut: int) -> None:
    whole, before = StepWeight(), StepWeight()
    expected = [whole.of(candidates) for candidates in steps]
    found = [before.of(candidates) for candidates in steps[:cut]]
    after = StepWeight(before.state())
    assert found + [after.of(candidates) for candidates in steps[cut:]] == expected
