"""Checkpoints as ranks leave them, small enough to spoil in every place."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from rayrank.embedding.budget import Rules, Width
from rayrank.embedding.owned_ids import OwnedIds
from rayrank.embedding.shard import Shard
from rayrank.embedding.sharded import TablesSnapshot
from rayrank.embedding.tables import LearnedRows, LocalTables, ShardRows
from rayrank.model.ranker import Ranker
from rayrank.schema import Schema
from rayrank.storage import AnyPath
from rayrank.tensors import write_tensors
from rayrank.train import checkpoint as ckpt
from rayrank.train.finished import CHECKPOINTS, write_finished

from ..infer.bundles import CONFIGS, SEED, learned, trained
from ..model.rows import SCHEMA


def shard_rows(
    keys: torch.Tensor, vectors: torch.Tensor, momentum: torch.Tensor, first: int = 1
) -> ShardRows:
    """What a rank holds of a table, in rows from `first` on; no two ids were seen alike."""
    row = torch.arange(first, first + len(keys), dtype=torch.int32)
    return ShardRows(keys, vectors, momentum, 3 * row, 2 * row, row)


def snapshot_of(rows: Mapping[str, ShardRows], steps: int = 0) -> TablesSnapshot:
    """Of the tables of a rank that hold these rows."""
    shards = []
    for dim in sorted({of.vectors.shape[1] for of in rows.values()}):
        mine = {name: of for name, of in rows.items() if of.vectors.shape[1] == dim}
        width = Width(dim, tuple(mine), sum(len(of.keys) for of in mine.values()))
        rules = dict.fromkeys(mine, Rules(width.rows, 1, None, 0))
        owned = OwnedIds(width, rules, (0, width.rows + 1), 1, width.rows)
        vectors, momentum = torch.zeros(width.rows + 1, dim), torch.zeros(width.rows + 1)
        shards.append(Shard(width, owned, vectors, momentum))
        shards[-1].load(mine)
    aside = {name: of for shard in shards for name, of in shard.pool.aside().items()}
    return TablesSnapshot(steps, [shard.snapshot() for shard in shards], aside)


def write_rank(checkpoint: AnyPath, rank: int, tables: TablesSnapshot) -> ckpt.Hashes:
    """A rank's files, with the random state as it is."""
    random = ckpt.random_state(torch.device("cpu"))
    files = ckpt.rank_files(rank, tables.parts(), tables.aside, random)
    return {name: write_tensors(checkpoint / name, content) for name, content in files}


def rows_in(checkpoint: AnyPath, ranks: Iterable[int]) -> dict[str, ShardRows]:
    """Table -> what these ranks held of it, one after the other."""
    held: dict[str, list[ShardRows]] = {}
    for part in ckpt.read_parts(checkpoint, ranks):
        for name, rows in part.items():
            held.setdefault(name, []).append(rows)
    return {name: ShardRows.joined(parts) for name, parts in held.items()}


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
        hashes |= write_rank(checkpoint, rank, snapshot_of(held))
    state, kept = ckpt.State(position, quality, table_steps=step), ckpt.Keep(keep, best)
    ckpt.publish(checkpoint, state, dense, {"w/step": torch.ones(())}, hashes, kept)
    return checkpoint


def finish_training(
    folder: Path,
    kind: str,
    step: int = 12,
    weights: int = 0,
    schema: Schema = SCHEMA,
    empty: str | None = None,
) -> tuple[Ranker, Path]:
    """A training run in `folder` that has ended: its ranker and its last checkpoint, the rows of
    whose tables are dealt to two ranks. empty: a table that has none."""
    ranker = trained(kind, weights, schema)
    if empty is not None:
        tables, dim = learned(ranker), schema.tables[empty].dim
        tables[empty] = LearnedRows(torch.empty(0, dtype=torch.int64), torch.empty(0, dim))
        std = CONFIGS[kind].embedding_std
        ranker.tables = LocalTables.of_rows(schema.tables, tables, init_std=std, seed=SEED)
    ranks = [
        {
            name: shard_rows(rows.keys[part], rows.vectors[part], torch.ones(len(rows.keys[part])))
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
