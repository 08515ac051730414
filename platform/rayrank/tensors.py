"""Tensors in safetensors files, at any URI. Nothing is ever unpickled."""

from collections.abc import Mapping

import torch
from safetensors.torch import load_file, save_file

from rayrank.storage import AnyPath, reading_file, sha256, writing_file


def write_tensors(path: AnyPath, tensors: Mapping[str, torch.Tensor]) -> str:
    """Write a safetensors file; the SHA-256 of what was written."""
    with writing_file(path) as writing:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, writing)
        return sha256(writing)


def read_tensors(path: AnyPath) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file, in CPU memory."""
    with reading_file(path) as local:
        return load_file(local)


def copies(values: Mapping[str, torch.Tensor], wanted: bool = True) -> dict[str, torch.Tensor]:
    """Tensors whole, contiguous, in CPU memory of their own; {} on a rank that does not want them.
    Collective where they are sharded over ranks."""
    kept = {}
    for name, value in values.items():
        # A DTensor, of which serving need not know.
        whole = value.full_tensor() if hasattr(value, "full_tensor") else value
        if wanted:
            kept[name] = whole.to("cpu", copy=True).contiguous()
    return kept


def held_as(value: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """A whole tensor as `other` is held: where that is sharded over ranks, this rank's share."""
    if not hasattr(other, "device_mesh"):
        return value
    # Half a second, and for training alone.
    from torch.distributed.tensor import DTensor, distribute_tensor  # noqa: PLC0415

    assert isinstance(other, DTensor)
    # Every rank has the whole: none has to send it.
    return distribute_tensor(value, other.device_mesh, other.placements, src_data_rank=None)
