"""Checkpoints as ranks leave them, small enough to spoil in every place."""

from pathlib import Path

import torch
from rayrank.embedding.tables import ShardRows
from rayrank.model.ranker import Ranker
from rayrank.schema import Schema
from rayrank.train import checkpoint as ckpt
from rayrank.train.finished import CHECKPOINTS, write_finished

from ..infer.bundles import learned, trained
from ..model.rows import SCHEMA


def save(
    checkpoints: Path,
    step: int,
    dense: dict[str, torch.Tensor],
    rows: list[dict[str, ShardRows]],
    *,
    attempt: int = 1,
    keep: int = 2,
) -> Path:
    """A checkpoint of `step` steps by one rank for each of `rows`, saved as the trainer does."""
    position = ckpt.Position(epoch=1, batches=7, step=step, world_size=len(rows), attempt=attempt)
    checkpoint = checkpoints / f"step-{step:08d}.{attempt:06d}"
    assert ckpt.checkpoint_folder(checkpoints, position) == checkpoint
    hashes: ckpt.Hashes = {}
    for rank, held in enumerate(rows):
        torch.manual_seed(100 * step + rank)
        hashes |= ckpt.write_rank(checkpoint, rank, held, ckpt.random_state(torch.device("cpu")))
    ckpt.publish(checkpoint, position, dense, {"w/step": torch.ones(())}, hashes, keep)
    return checkpoint


def finish_training(
    folder: Path, kind: str, step: int = 12, weights: int = 0, schema: Schema = SCHEMA
) -> tuple[Ranker, Path]:
    """A training run in `folder` that has ended: its ranker and its last checkpoint, the rows of
    whose tables are dealt to two ranks."""
    ranker = trained(kind, weights, schema)
    ranks = [
        {
            name: ShardRows(rows.keys[part], rows.vectors[part], torch.ones(len(rows.keys[part])))
            for name, rows in learned(ranker).items()
        }
        for part in (slice(None, 11), slice(11, None))
    ]
    checkpoint = save(folder / CHECKPOINTS, step, ranker.dense_state(), ranks)
    write_finished(folder, checkpoint)
    return ranker, checkpoint


def flip_a_byte(path: Path) -> None:
    """One bit of the file's last byte."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
