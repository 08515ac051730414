"""Float16's loss scale: halved where a gradient overflows, doubled after many that do not."""

from rayrank.train.loss_scale import GROWS_AFTER, LossScale


def test_it_is_halved_and_grows_again() -> None:
    scale = LossScale(8.0)
    assert scale.overflowed()
    assert scale.value == 4
    for _ in range(GROWS_AFTER - 1):
        scale.went_well()
    assert scale.value == 4
    scale.went_well()
    assert (scale.value, scale.good) == (8, 0)


def test_an_overflow_begins_the_count_anew() -> None:
    scale = LossScale(8.0, good=GROWS_AFTER - 1)
    assert scale.overflowed()
    scale.went_well()
    assert (scale.value, scale.good) == (4, 1)


def test_at_one_nothing_is_left_to_try() -> None:
    scale = LossScale(2.0)
    assert scale.overflowed()
    assert not scale.overflowed()


def test_a_precision_that_needs_none_keeps_one() -> None:
    scale = LossScale(1.0)
    for _ in range(GROWS_AFTER):
        scale.went_well()
    assert not scale.overflowed()
    assert scale.value == 1
