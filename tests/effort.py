"""How hard things are tried: properties by a quarter of their examples, and whole forms of what
shorter tests show not at all; by everything there is in `make test-long`."""

import os

import pytest

ALL = "RAYRANK_TESTS_LONG" in os.environ
long_form = pytest.mark.skipif(
    not ALL, reason="the long form of what shorter tests show: make test-long"
)


def examples(most: int) -> int:
    """How many of so many."""
    return most if ALL else min(most, max(5, most // 4))
