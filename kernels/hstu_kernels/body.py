"""What holds while the body of an operator runs."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def operator_body(x: Tensor) -> Iterator[None]:
    """For an operator on ``x``: autocast is off, because the public function has chosen the
    precision; and x's GPU is the current one, because that is where Triton launches."""
    with torch.autocast(x.device.type, enabled=False), torch.cuda.device_of(x):
        yield
