"""From a checkpoint to a bundle."""

from pathlib import Path
from typing import Any

import torch

from rayrank.config import RunConfig
from rayrank.data.row_stats import RowStats
from rayrank.embedding.tables import LearnedRows
from rayrank.errors import RayrankError
from rayrank.infer.bundle import Manifest, restore_ranker, write_bundle
from rayrank.model.ranker import Ranker
from rayrank.schema import Schema
from rayrank.train import checkpoint as ckpt


def finished_checkpoint(folder: Path) -> Path:
    """The newest complete checkpoint of a training run, verified. Raises RayrankError if none."""
    newest = ckpt.latest(folder / "checkpoints")
    if newest is None:
        raise RayrankError(f"{folder}: no complete checkpoint; run jobs/train.py first")
    ckpt.verify(newest)
    return newest


def learned_rows(checkpoint: Path) -> dict[str, LearnedRows]:
    """Every table's rows, all ranks' together."""
    return {
        name: LearnedRows(
            torch.cat([part.keys for part in parts]), torch.cat([part.vectors for part in parts])
        )
        for name, parts in ckpt.read_rows(checkpoint).items()
    }


def local_ranker(config: RunConfig, name: str, schema: Schema, checkpoint: Path) -> Ranker:
    """The trained ranker on one process, as the trainer knows it."""
    ranker = config.rankers[name]
    dense, _ = ckpt.read_dense(checkpoint)
    return restore_ranker(schema, ranker.model, ranker.train.seed, dense, learned_rows(checkpoint))


def export(
    config: RunConfig,
    name: str,
    schema: Schema,
    stats: RowStats,
    metrics: dict[str, Any],
    out: Path,
) -> Manifest:
    """Write the bundle of a trained ranker, with what its evaluation found."""
    folder = config.run_dir / "rankers" / name
    checkpoint = finished_checkpoint(folder)
    ranker = config.rankers[name]
    dense, _ = ckpt.read_dense(checkpoint)
    return write_bundle(
        out,
        ranker=name,
        schema=schema,
        model=ranker.model,
        seed=ranker.train.seed,
        max_history=config.data.max_history,
        id_types=stats.id_types,
        metrics=metrics,
        trained_steps=ckpt.read_position(checkpoint).step,
        dense=dense,
        rows=learned_rows(checkpoint),
    )
