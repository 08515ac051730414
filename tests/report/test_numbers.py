"""How numbers read on the page."""

import pytest
from rayrank.metrics import Estimate
from rayrank.report.numbers import amount, rate, signed, told_apart, with_margin


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (0, "0"),
        (3.14159, "3.142"),
        (0.00012, "0.00012"),
        (999.4, "999.4"),
        (999.96, "1000"),
        (1000, "1,000"),
        (-1000.4, "-1,000"),
        (1234567.8, "1,234,568"),
    ],
)
def test_an_amount(value: float, read: str) -> None:
    assert amount(value) == read


def test_a_metric_and_its_margin() -> None:
    assert rate(0.81234) == "0.8123"
    assert rate(float("nan")) == rate(float("inf")) == "–"
    assert with_margin(0.8, 0.01) == "0.8000 ± 0.0196"
    assert with_margin(0.8, None) == with_margin(0.8, float("nan")) == "0.8000"
    assert with_margin(float("nan"), 0.01) == "–"


@pytest.mark.parametrize(
    ("value", "error", "read", "apart"),
    [
        (0.02, 0.01, "+0.0200 ± 0.0196", True),
        (0.0195, 0.01, "+0.0195 ± 0.0196", False),
        (-0.02, 0.01, "−0.0200 ± 0.0196", True),
        (-0.0195, 0.01, "−0.0195 ± 0.0196", False),
        (0.0, 0.0, "+0.0000 ± 0.0000", False),
    ],
)
def test_a_difference(value: float, error: float, read: str, apart: bool) -> None:
    assert signed(Estimate(value, error)) == read
    assert told_apart(Estimate(value, error)) is apart
