"""Where an operator's work is done: in the body of the device its input is on."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

import torch
from torch import Tensor


@contextmanager
def body_for(x: Tensor, name: str) -> Iterator[ModuleType]:
    """The module `{name}_cpu` or `{name}_triton`, by x's device: a CPU needs no Triton.

    Meanwhile autocast is off, because the public function has chosen the precision; and x's GPU is
    the current one, because that is where Triton launches.
    """
    kind = "cpu" if x.device.type == "cpu" else "triton"
    with torch.autocast(x.device.type, enabled=False), torch.cuda.device_of(x):
        yield import_module(f".{name}_{kind}", __package__)
