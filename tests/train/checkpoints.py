"""Checkpoints as ranks leave them, small enough to spoil in every place."""

from pathlib import Path

import torch
from rayrank.embedding.tables import ShardRows
from rayrank.model.ranker import Ranker
from rayrank.schema import Schema
from rayrank.storage import AnyPath
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
    best: bool = False,
    quality: float | None = None,
) -> Path:
    """A checkpoint of `step` steps by one rank for each of `rows`, saved as the trainer does."""
    position = ckpt.Position(epoch=1, batches=7, step=step, world_size=len(rows), attempt=attempt)
    checkpoint = checkpoints / f"step-{step:08d}.{attempt:06d}"
    assert ckpt.checkpoint_folder(checkpoints, position) == checkpoint
    hashes: ckpt.Hashes = {}
    for rank, held in enumerate(rows):
        torch.manual_seed(100 * step + rank)
        hashes |= ckpt.write_rank(checkpoint, rank, held, ckpt.random_state(torch.device("cpu")))
    state, kept = ckpt.State(position, quality), ckpt.Keep(keep, best)
    ckpt.publish(checkpoint, state, dense, {"w/step": torch.ones(())}, hashes, kept)
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


def newest_sound(folder: AnyPath, world_size: int = 2) -> tuple[AnyPath | None, list[str]]:
    """As so many ranks find it together."""

    def faults_of(checkpoint: AnyPath) -> list[str]:
        found = [ckpt.fault_of(checkpoint, rank, world_size) for rank in range(world_size)]
        return list(dict.fromkeys(fault for fault in found if fault is not None))

    return ckpt.newest_sound(ckpt.complete(folder), faults_of)


def flip_a_byte(path: Path) -> None:
    """One bit of the file's last byte."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
