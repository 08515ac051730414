"""What the public functions ask of every floating input."""

import torch
from torch import Tensor

FLOAT_DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def autocast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Under autocast float32 and half tensors in its dtype, as a matrix product takes them."""
    device = tensors[0].device.type
    if not torch.is_autocast_enabled(device) or tensors[0].dtype == torch.float64:
        return tensors
    dtype = torch.get_autocast_dtype(device)
    return tuple(x.to(dtype) for x in tensors)


def check_device(x: Tensor, name: str, **others: Tensor) -> None:
    """Raises ValueError where one is on another device than x, or x is float64 on a GPU."""
    if x.dtype == torch.float64 and x.device.type == "cuda":
        raise ValueError("float64 is for CPUs; on GPUs pass float32, bfloat16 or float16")
    for other, tensor in others.items():
        if tensor.device != x.device:
            raise ValueError(f"{other} is on {tensor.device}, {name} on {x.device}")
