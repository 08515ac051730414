"""What the kernels' tests share."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

# The benchmarks are no part of what is installed.
sys.path.insert(0, str(Path(__file__).parents[2] / "kernels"))


@pytest.fixture(scope="module", autouse=True)
def fresh_memory_is_nan() -> Iterator[None]:
    """An element that no body writes, or that is read before it is written, cannot pass."""
    torch.use_deterministic_algorithms(True)
    assert torch.empty(1).isnan(), "torch.empty was expected to be poisoned"
    yield
    torch.use_deterministic_algorithms(False)
