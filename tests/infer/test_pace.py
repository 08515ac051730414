"""What batches will take is what batches took."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rayrank.infer.pace import Pace


def test_before_anything_was_learned_nothing_takes_time() -> None:
    assert Pace().seconds(1000, 3) == 0.0


@settings(deadline=None)
@given(
    each=st.floats(0, 1),
    per_token=st.floats(1e-6, 1e-3),
    tokens=st.lists(st.integers(1, 20_000), min_size=2, max_size=40),
)
def test_both_parts_are_found(each: float, per_token: float, tokens: list[int]) -> None:
    pace = Pace()
    for count in tokens:
        pace.learn(count, each + per_token * count)
    if max(tokens) > 1.5 * min(tokens):
        expected = 5 * each + 30_000 * per_token
        assert pace.seconds(30_000, 5) == pytest.approx(expected, rel=0.02, abs=1e-3)


@pytest.mark.parametrize("batches", [1, 2, 50])
def test_of_batches_that_were_alike_all_is_the_tokens(batches: int) -> None:
    pace = Pace()
    for _ in range(batches):
        pace.learn(200, 0.01)
    assert pace.seconds(1000, 1) == pytest.approx(0.05)
    assert pace.seconds(1000, 9) == pytest.approx(0.05)


def test_what_a_batch_costs_beside_its_tokens_makes_many_worth_it() -> None:
    pace = Pace()
    assert pace.worth() == 0.0, "before anything was learned"
    for count in (100, 300, 100, 300):
        pace.learn(count, 0.5 + 0.001 * count)
    assert pace.worth() == pytest.approx(500)
    alike = Pace()
    alike.learn(100, 0.1)
    assert alike.worth() == 0.0


def test_how_far_batches_were_from_what_was_expected_makes_it_sure() -> None:
    """Half of them take 0.8 s, half 1.2 s: a fifth off, and twice that is added."""
    pace = Pace()
    assert pace.surely(1000, 3) == 0.0
    for _ in range(200):
        pace.learn(100, 0.8)
        pace.learn(100, 1.2)
    assert pace.seconds(100, 1) == pytest.approx(1.0, rel=0.02)
    assert pace.surely(100, 1) == pytest.approx(1.4, rel=0.02)
    steady = Pace()
    for count in (100, 300, 200):
        steady.learn(count, 0.5 + 0.001 * count)
    assert steady.surely(400, 2) == pytest.approx(steady.seconds(400, 2)) == pytest.approx(1.4)


def test_noise_never_makes_more_tokens_cheaper() -> None:
    pace = Pace()
    pace.learn(100, 0.2)
    pace.learn(1000, 0.1)
    assert 0 < pace.seconds(100, 1) < pace.seconds(1000, 1)


def test_what_was_long_ago_is_forgotten() -> None:
    pace = Pace()
    for _ in range(100):
        pace.learn(100, 10.0)
        pace.learn(200, 20.0)
    for _ in range(100):
        pace.learn(100, 0.1)
        pace.learn(200, 0.2)
    assert pace.seconds(1000, 1) == pytest.approx(1.0, rel=0.1)
