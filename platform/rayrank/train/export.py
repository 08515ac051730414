"""From a checkpoint to a bundle."""

from typing import Any

import torch

from rayrank.data.row_stats import read_stats
from rayrank.embedding.tables import LearnedRows, LocalTables
from rayrank.infer.bundle import Manifest, restore_ranker, write_bundle
from rayrank.infer.ranges import ranges_of
from rayrank.model.ranker import Ranker
from rayrank.schema import Schema
from rayrank.storage import AnyPath
from rayrank.train import checkpoint as ckpt
from rayrank.train.config import RankerConfig
from rayrank.train.finished import checkpoint_origin, finished_checkpoint


def learned_rows(checkpoint: AnyPath) -> dict[str, LearnedRows]:
    """Every table's rows, all ranks' together."""
    return {
        name: LearnedRows(
            torch.cat([part.keys for part in parts]), torch.cat([part.vectors for part in parts])
        )
        for name, parts in ckpt.read_rows(checkpoint).items()
    }


def local_ranker(config: RankerConfig, schema: Schema, checkpoint: AnyPath) -> Ranker:
    """The trained ranker on one process, as the trainer knows it."""
    dense, _ = ckpt.read_dense(checkpoint)
    std, seed = config.model.embedding_std, config.train.seed
    rows = learned_rows(checkpoint)
    tables = LocalTables.of_rows(schema.tables, rows, init_std=std, seed=seed)
    return restore_ranker(schema, config.model, dense, tables)


def export(
    bundles: AnyPath,
    *,
    name: str,
    config: RankerConfig,
    trained: AnyPath,
    schema: Schema,
    rows: AnyPath,
    metrics: dict[str, Any],
) -> Manifest:
    """Write the bundle of a finished training run under `bundles`, with what evaluation found.

    trained: the run's folder; rows: the version of user rows it learned from. A bundle that is
    there already is left as it is. Raises TrainingError or CheckpointError for a run that is not
    finished, or damaged.
    """
    checkpoint = finished_checkpoint(trained)
    dense, _ = ckpt.read_dense(checkpoint)
    stats = read_stats(rows)
    return write_bundle(
        bundles,
        ranker=name,
        schema=schema,
        model=config.model,
        seed=config.train.seed,
        id_types=stats.id_types,
        ranges=ranges_of(stats.scales()),
        metrics=metrics,
        made_from=checkpoint_origin(rows, trained, checkpoint),
        trained_steps=ckpt.read_position(checkpoint).step,
        dense=dense,
        rows=learned_rows(checkpoint),
    )
