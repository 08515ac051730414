"""How hard properties are tried: by a quarter of their examples, and by all in `make test-long`."""

import os

ALL = "RAYRANK_TESTS_LONG" in os.environ


def examples(most: int) -> int:
    """How many of so many."""
    return most if ALL else min(most, max(5, most // 4))
