"""Checkpoints as ranks leave them, small enough to spoil in every place."""

from pathlib import Path

import torch
from rayrank.embedding.tables import ShardRows
from rayrank.model.ranker import Ranker
from rayrank.train import checkpoint as ckpt

from ..infer.bundles import learned, trained


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


def checkpoint_of(run_dir: Path, kind: str, step: int, weights: int = 0) -> tuple[Ranker, Path]:
    """A ranker and its checkpoint, the rows of its tables dealt to two ranks."""
    ranker = trained(kind, weights)
    dense = {n: t for n, t in ranker.state_dict().items() if not n.startswith("tables.")}
    ranks = [
        {
            name: ShardRows(rows.keys[part], rows.vectors[part], torch.ones(len(rows.keys[part])))
            for name, rows in learned(ranker).items()
        }
        for part in (slice(None, 11), slice(11, None))
    ]
    return ranker, save(run_dir / "rankers" / kind / "checkpoints", step, dense, ranks)


def flip_a_byte(path: Path) -> None:
    """One bit of the file's last byte."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
