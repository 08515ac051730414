"""gain = a FLOPs^b through the sizes of a family."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rayrank.lab.power_law import fit, fit_with_band

from ..effort import examples

FLOPS = np.array([1e7, 4e7, 1.6e8, 1e9])


@settings(max_examples=examples(50), deadline=None)
@given(a=st.floats(1e-3, 0.1), b=st.floats(-0.5, 1.5))
def test_a_law_is_found_again(a: float, b: float) -> None:
    law = fit(FLOPS, a * (FLOPS / 1e8) ** b)
    assert law.exponent == pytest.approx(b, abs=1e-4)
    assert law.a * 1e8**law.exponent == pytest.approx(a, rel=1e-3)
    assert law(FLOPS) == pytest.approx(a * (FLOPS / 1e8) ** b, rel=1e-3)


def test_doubling_by_four_times_the_work_is_the_square_root() -> None:
    assert fit(np.array([1.0, 4.0, 16.0]), np.array([0.01, 0.02, 0.04])).exponent == pytest.approx(
        0.5, abs=1e-6
    )


def test_a_gain_below_0_has_its_place() -> None:
    law = fit(FLOPS, np.array([-0.001, 0.002, 0.006, 0.012]))
    assert 0 < law.exponent < 3


def test_the_band_is_narrow_where_draws_agree_and_wide_where_they_do_not() -> None:
    draw = np.random.default_rng(1)
    truth_M = 0.01 * (FLOPS / 1e8) ** 0.3

    def gains(noise: float) -> np.ndarray:
        of_users = np.concatenate([[0.0], draw.normal(0, noise, 50)])
        return truth_M[:, None, None] + draw.normal(0, noise, (4, 3, 1)) + of_users

    sharp, blurred = fit_with_band(FLOPS, gains(1e-6)), fit_with_band(FLOPS, gains(1e-3))
    assert sharp.exponent_low == pytest.approx(0.3, abs=1e-2)
    assert sharp.exponent_high == pytest.approx(0.3, abs=1e-2)
    assert blurred.exponent_low < 0.3 < blurred.exponent_high
    assert (blurred.low <= blurred.law(blurred.flops)).all()
    assert (blurred.high >= blurred.law(blurred.flops)).all()
    assert (blurred.high - blurred.low > 20 * (sharp.high - sharp.low)).all()
