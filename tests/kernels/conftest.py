"""What the kernels' tests share."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(scope="module", autouse=True)
def fresh_memory_is_nan() -> Iterator[None]:
    """An element that no body writes, or that is read before it is written, cannot pass."""
    torch.use_deterministic_algorithms(True)
    assert torch.empty(1).isnan(), "torch.empty was expected to be poisoned"
    yield
    torch.use_deterministic_algorithms(False)
