"""Beginning from what another training learned: the same model a day later, or one that has a
feature more, is wider, or deeper.

A dense tensor is taken whole where it means the same in both models, in part where some of it does
(`model.segments`), and begins as initialised otherwise. AdamW's state is taken where its tensor is.
Rows of a table are taken, with their optimizer state, where the table has that name and width.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import nn

from rayrank.embedding.sharded import ShardedTables
from rayrank.embedding.tables import ShardRows
from rayrank.errors import CheckpointError, ConfigError, RayrankError
from rayrank.model.build import build_model, parse_model_config
from rayrank.model.ranker import ModelConfig, Ranker
from rayrank.model.segments import copied_block, layouts_of, shared_places
from rayrank.schema import RankerSchema, Schema
from rayrank.storage import AnyPath, absolute, sha256, write_whole
from rayrank.train import checkpoint as ckpt
from rayrank.train.config import RankerConfig
from rayrank.train.finished import CHECKPOINTS, FINISHED
from rayrank.train.restore import restore_tables
from rayrank.versions import MADE_FROM, made_from

SCHEMA = "schema.json"
"""The schema that a training run was told, in its folder."""
MOST_NAMED = 12
"""Tensors of a kind that an account names."""


class Start(NamedTuple):
    """A checkpoint to begin from, and whose it is."""

    checkpoint: AnyPath
    schema: RankerSchema
    model: ModelConfig
    seed: int

    def origin(self) -> dict[str, str]:
        """What names its content."""
        return {
            "checkpoint": self.checkpoint.name,
            "sha256": sha256(self.checkpoint / ckpt.MANIFEST),
        }

    def demand_fit(self, schema: Schema, config: RankerConfig) -> None:
        """Raises ConfigError where what was learned would mean something else in a ranker of this
        schema and config."""
        for key, old, new in (
            ("train.seed", self.seed, config.train.seed),
            ("model.embedding_std", self.model.embedding_std, config.model.embedding_std),
        ):
            if old != new:
                raise ConfigError(
                    f"{key}: {new}, and {old} where {self.checkpoint} was trained: what tables "
                    f"learned was added to vectors that follow from it; set {key} to {old}"
                )
        before, after = list(self.schema.tasks), list(schema.tasks)
        shared = min(len(before), len(after))
        if before[:shared] != after[:shared]:
            raise ConfigError(
                f"tasks: {', '.join(after)}, and {', '.join(before)} where {self.checkpoint} was "
                "trained: a head is a task's by its place; keep their order, new ones last"
            )


def start_at(path: AnyPath, *, verified: bool = True) -> Start:
    """The checkpoint in a folder: a checkpoint's own, or that of a finished training run
    (`RUN_DIR/rankers/NAME/VERSION`). verified: every file is read, to see that it is as it was.

    Raises CheckpointError where there is none to begin from.
    """
    if (path / FINISHED).exists():
        checkpoint = path / CHECKPOINTS / json.loads((path / FINISHED).read_text())["checkpoint"]
    elif path.parent.name == CHECKPOINTS:
        checkpoint = path
    else:
        raise CheckpointError(
            f"{path}: nothing to begin from; expected a finished training run "
            "(RUN_DIR/rankers/NAME/VERSION), or a checkpoint in one"
        )
    if verified:
        ckpt.verify(checkpoint)
    return _start_of(checkpoint)


def _start_of(checkpoint: AnyPath) -> Start:
    folder = checkpoint.parent.parent
    for name in (MADE_FROM, SCHEMA):
        if not (folder / name).exists():
            raise CheckpointError(f"{folder}: has no {name}, which says what was trained there")
    told = made_from(folder)
    try:
        schema = RankerSchema.model_validate_json((folder / SCHEMA).read_text())
        model = parse_model_config(told["model"])
    except (ValueError, RayrankError) as error:
        raise CheckpointError(f"{folder}: its model cannot be made any more: {error}") from None
    return Start(checkpoint, schema, model, int(told["train"]["seed"]))


def keep_schema(folder: AnyPath, schema: RankerSchema) -> None:
    """Keep beside a training run what `start_at` needs of it."""
    if not (folder / SCHEMA).exists():
        write_whole(folder / SCHEMA, schema.model_dump_json())


def told_start(start: Start | None) -> str | None:
    """As a worker is told, for `begin_from`."""
    return None if start is None else str(absolute(start.checkpoint))


@dataclass
class Account:
    """What was taken of a checkpoint, and what was not; names of dense tensors and tables."""

    whole: list[str] = field(default_factory=list)
    part: list[str] = field(default_factory=list)
    """`name: [4, 8] -> [6, 8]`"""
    new: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    """Table -> rows taken."""
    new_tables: list[str] = field(default_factory=list)
    left_tables: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether nothing is new and nothing was left behind."""
        return not (self.part or self.new or self.left or self.new_tables or self.left_tables)

    def lines(self) -> list[str]:
        """For a person."""
        rows = ", ".join(f"{name} {count:,}" for name, count in self.rows.items())
        told = [
            f"{len(self.whole)} dense tensors taken whole, {len(self.part)} in part, "
            f"{len(self.new)} new, {len(self.left)} left behind; rows of tables: {rows or 'none'}"
        ]
        for what, names in (
            ("in part", self.part),
            ("new", self.new),
            ("left behind", self.left),
            ("new tables", self.new_tables),
            ("tables left behind", self.left_tables),
        ):
            if names:
                more = len(names) - MOST_NAMED
                shown = ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
                told.append(f"{what}: {shown}")
        return told


class Taken(NamedTuple):
    """What a ranker begins with, and the account of it."""

    dense: dict[str, torch.Tensor]
    """All of its dense tensors, as `Ranker.load_dense` takes them."""
    optimizer: dict[str, torch.Tensor]
    """AdamW's state of what was taken whole, as `Optimizer.load_state` takes it."""
    account: Account

    def of_part(self, part: Mapping[str, ShardRows]) -> dict[str, ShardRows]:
        """What it takes of a part of the tables' rows, which is added to the account."""
        taken = {name: rows for name, rows in part.items() if name in self.account.rows}
        for name, rows in taken.items():
            self.account.rows[name] += len(rows.keys)
        return taken


def take(
    start: Start,
    ranker: Ranker,
    dense: Mapping[str, torch.Tensor],
    optimizer: Mapping[str, torch.Tensor],
) -> Taken:
    """What `ranker`, as initialised, takes of a checkpoint's dense tensors and AdamW's state, and
    of which tables it takes the rows. Changes nothing."""
    account = Account()
    old_layouts = layouts_of(_shapes_of(start), start.schema.groups)
    new_layouts = layouts_of(ranker, ranker.schema.groups)
    own, taken = ranker.dense_state(), {}
    for name, value in own.items():
        old = dense.get(name)
        places = old is not None and shared_places(
            old_layouts.get(name), new_layouts.get(name), old.shape, value.shape
        )
        if old is None or not places or any(len(dim) == 0 for dim in places[1]):
            taken[name] = value
            # A tensor of nothing, such as the scales of no numbers, is neither new nor taken.
            (account.new if value.numel() else account.whole).append(name)
            if old is not None and old.numel():
                account.left.append(name)
            continue
        taken[name] = copied_block(old, value, places)
        if old.shape == value.shape and all(
            torch.equal(before, after) and len(after) == size
            for before, after, size in zip(*places, value.shape, strict=True)
        ):
            account.whole.append(name)
        else:
            account.part.append(f"{name}: {list(old.shape)} -> {list(value.shape)}")
    account.left += [name for name in dense if name not in own]
    whole = set(account.whole)
    state = {key: value for key, value in optimizer.items() if key.rsplit("/", 1)[0] in whole}
    before = start.schema.tables
    for name, table in ranker.schema.tables.items():
        if name in before and before[name].dim == table.dim:
            account.rows[name] = 0
        else:
            account.new_tables.append(name)
    account.left_tables = [name for name in before if name not in account.rows]
    return Taken(taken, state, account)


def _shapes_of(start: Start) -> Ranker:
    """The ranker that the checkpoint is of, without memory: what stands where in its tensors."""
    with torch.device("meta"):
        tables: Any = nn.Module()  # it is never called
        return build_model(start.schema, start.model, tables, scales={})


def begin_from(
    checkpoint: AnyPath,
    ranker: Ranker,
    tables: ShardedTables,
    load_optimizer: Callable[[dict[str, torch.Tensor]], object],
    rank: int,
    world_size: int,
) -> list[str]:
    """Let a new ranker begin with what a checkpoint holds; what to tell a person. Every rank calls
    it, and takes its own rows. load_optimizer takes AdamW's state."""
    start = _start_of(checkpoint)
    dense, optimizer = ckpt.read_dense(checkpoint)
    taken = take(start, ranker, dense, optimizer)
    ranker.load_dense(taken.dense)
    load_optimizer(taken.optimizer)
    names = set(taken.account.rows)
    restore_tables(tables, checkpoint, rank, world_size, taken=taken.of_part, names=names)
    return [f"begins from {checkpoint}", *taken.account.lines()]
