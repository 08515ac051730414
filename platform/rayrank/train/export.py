"""From a checkpoint to a bundle."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from rayrank.data.jagged import to_jagged
from rayrank.data.packing import pack, row_costs
from rayrank.data.row_files import SPLITS, row_files
from rayrank.data.row_stats import read_stats
from rayrank.embedding.tables import LearnedRows, LocalTables, ShardRows
from rayrank.errors import ConfigError, DataError
from rayrank.infer.bundle import Manifest, restore_ranker, write_bundle
from rayrank.infer.drift import Reference, reference_of
from rayrank.infer.ranges import ranges_of
from rayrank.model.ranker import Ranker
from rayrank.schema import CANDIDATES, RankerSchema, Schema
from rayrank.storage import AnyPath, arrow_place
from rayrank.train import checkpoint as ckpt
from rayrank.train.config import RankerConfig
from rayrank.train.finished import checkpoint_origin, finished_checkpoint

SAMPLED_ROWS, SCORED_TOKENS, BATCH_TOKENS = 2000, 100_000, 8192
"""What is recorded at most: numbers of so many user rows, scores of those that have so many tokens
together."""


def learned_rows(checkpoint: AnyPath, schema: Schema) -> dict[str, LearnedRows]:
    """Every table's rows, all ranks' together; none of a table of which nothing was learned."""
    held = ckpt.read_rows(checkpoint)
    rows = {name: held.get(name, ShardRows.none(of.dim)) for name, of in schema.tables.items()}
    return {name: LearnedRows(of.keys, of.vectors) for name, of in rows.items()}


def local_ranker(config: RankerConfig, schema: Schema, checkpoint: AnyPath) -> Ranker:
    """The trained ranker on one process, as the trainer knows it. schema: the log's."""
    seen, (dense, _) = config.view.of(schema), ckpt.read_dense(checkpoint)
    return _ranker_of(config, seen, dense, learned_rows(checkpoint, seen))


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

    trained: the run's folder; rows: the version of user rows it learned from. The bundle's schema
    is what the ranker reads of them, so that requests send no more. A bundle that is there already
    is left as it is. Raises TrainingError or CheckpointError for a run that is not finished, or
    damaged; ConfigError for a ranker of `config.view` that cannot be served.
    """
    _demand_servable(name, config, schema)
    schema = config.view.of(schema)
    checkpoint = finished_checkpoint(trained)
    dense, _ = ckpt.read_dense(checkpoint)
    learned, stats = learned_rows(checkpoint, schema), read_stats(rows)
    read = {f"{of.token}.{name}" for of in schema.groups for name in schema.features_of(of.token)}
    return write_bundle(
        bundles,
        ranker=name,
        schema=schema,
        model=config.model,
        seed=config.train.seed,
        id_types={name: of for name, of in stats.id_types.items() if name in schema.features},
        ranges=ranges_of({name: of for name, of in stats.scales().items() if name in read}),
        reference=_reference(_ranker_of(config, schema, dense, learned), schema, rows),
        metrics=metrics,
        made_from=checkpoint_origin(rows, trained, checkpoint),
        trained_steps=ckpt.read_state(checkpoint).position.step,
        dense=dense,
        rows=learned,
    )


def _demand_servable(name: str, config: RankerConfig, schema: Schema) -> None:
    """Raises ConfigError for a ranker that takes a part of all sequences for empty, or that would
    take behaviours for known earlier than the rows did which it learned from."""
    seen = config.view.of(schema)
    for sequence in seen.sequences:
        earlier = {*schema.known_at_columns(sequence)} - {*seen.known_at_columns(sequence)}
        if earlier:
            raise ConfigError(
                f"rankers.{name}.view.without: without an outcome that {sequence!r} carries its "
                f"behaviours would be known before {', '.join(sorted(earlier))}, as they were not "
                "in the rows it learned from; it can be trained and compared, not served. Take "
                "the feature out of the schema for that"
            )
    for part in config.view.empties:
        raise ConfigError(
            f"rankers.{name}.view.without: {part}: it learned from users whose {part} behaviours "
            "are hidden, and requests would send them; it can be trained and compared, not served"
        )


def _ranker_of(
    config: RankerConfig,
    schema: RankerSchema,
    dense: dict[str, torch.Tensor],
    rows: dict[str, LearnedRows],
) -> Ranker:
    std, seed = config.model.embedding_std, config.train.seed
    tables = LocalTables.of_rows(schema.tables, rows, init_std=std, seed=seed)
    return restore_ranker(schema, config.model, dense, tables)


@torch.inference_mode()
def _reference(ranker: Ranker, schema: Schema, rows: AnyPath) -> Reference:
    """Of the last rows of the latest split that has any: a sample of users, on its last days."""
    split, sample = _last_rows(rows)
    costs = row_costs(sample, 0.0)
    first = sample.slice(0, max(1, int(np.searchsorted(np.cumsum(costs), SCORED_TOKENS, "right"))))
    scores: list[np.ndarray] = []
    for picked in pack(row_costs(first, 0.0), BATCH_TOKENS):
        batch = to_jagged(first.slice(picked[0], len(picked)), schema)
        p_CK = ranker.predictions(ranker(batch)).numpy()
        ends = np.cumsum(batch.lengths(CANDIDATES).numpy())
        scores += np.split(p_CK, ends)[: len(picked)]
    return reference_of(schema, split, sample, scores)


def _last_rows(rows: AnyPath) -> tuple[str, pa.Table]:
    """The latest split's name, and its last rows. Raises DataError where no split has any."""
    for split in reversed(SPLITS):
        parts: list[pa.Table] = []
        wanted = SAMPLED_ROWS
        for group in _groups_from_the_end(row_files(rows / split)):
            parts.append(group.slice(max(0, len(group) - wanted)))
            wanted -= len(parts[-1])
            if wanted == 0:
                break
        if parts:
            return split, pa.concat_tables(parts)
    raise DataError(f"{rows}: no user rows; run jobs/build_rows.py first")


def _groups_from_the_end(files: list[AnyPath]) -> Iterator[pa.Table]:
    """The row groups of a split's files, those of its last day first."""
    for file in reversed(files):
        filesystem, name = arrow_place(file)
        with filesystem.open_input_file(name) as source:
            parquet = pq.ParquetFile(source)
            for group in reversed(range(parquet.num_row_groups)):
                yield parquet.read_row_group(group)
