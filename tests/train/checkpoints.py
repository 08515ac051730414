"""Checkpoints as ranks leave them, small enough to spoil in every place."""

from pathlib import Path

import torch
from rayrank.embedding.tables import LearnedRows, ShardRows
from rayrank.train import checkpoint as ckpt


def save(
    checkpoints: Path,
    step: int,
    dense: dict[str, torch.Tensor],
    rows: list[dict[str, ShardRows]],
    *,
    optimizer: dict[str, torch.Tensor] | None = None,
    keep: int = 2,
) -> Path:
    """A checkpoint of `step` steps by one rank for each of `rows`, saved as the trainer does."""
    writing = checkpoints / f".step-{step:08d}.000001"
    writing.mkdir(parents=True)
    for rank, held in enumerate(rows):
        torch.manual_seed(100 * step + rank)
        ckpt.write_rank(writing, rank, held)
    position = ckpt.Position(epoch=1, batches=7, step=step, world_size=len(rows), attempt=1)
    return ckpt.publish(writing, position, dense, optimizer or {"w/step": torch.ones(())}, keep)


def shard_rows(rows: LearnedRows) -> ShardRows:
    """Learned rows with a momentum of their own."""
    return ShardRows(rows.keys, rows.vectors, torch.arange(float(len(rows.keys))))


def flip_a_byte(path: Path) -> None:
    """One bit of the file's last byte."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
