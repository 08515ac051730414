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
