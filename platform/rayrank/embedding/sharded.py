"""Dynamic tables over TorchRec: sharded by row, updated by a fused optimizer.

TorchRec's managed-collision collections let a module of ours map ids to rows on the rank that
owns them; the planner, the exchange of ids and vectors and the update are TorchRec's.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import nn
from torchrec.modules.embedding_configs import EmbeddingConfig
from torchrec.modules.embedding_modules import EmbeddingCollection
from torchrec.modules.mc_embedding_modules import ManagedCollisionEmbeddingCollection
from torchrec.modules.mc_modules import ManagedCollisionCollection

from rayrank.embedding.budget import TablesConfig, rules_of, widths_of
from rayrank.embedding.delta import Delta
from rayrank.embedding.evict import All
from rayrank.embedding.exchange import Exchange
from rayrank.embedding.facts import StepTables, counts_of, facts_of
from rayrank.embedding.gradients import Gathering
from rayrank.embedding.hashing import signed, table_seed
from rayrank.embedding.owned_ids import OwnedIds
from rayrank.embedding.room import Room
from rayrank.embedding.shard import Shard
from rayrank.embedding.snapshot import Snapshot
from rayrank.embedding.tables import LearnedRows, ShardRows
from rayrank.schema import Table


class TablesSnapshot(NamedTuple):
    """What a rank holds of all tables, as it was."""

    steps: int
    """That the tables had trained for."""
    shards: list[Snapshot]
    aside: dict[str, torch.Tensor]
    """What is kept of ids without a row, as `load_aside` takes it."""

    def parts(self) -> Iterator[dict[str, ShardRows]]:
        """Table -> rows, in parts of bounded size, as `load_rows` takes them; once."""
        return (part for shard in self.shards for part in shard.parts())


class ShardedTables(nn.Module):
    """All tables of a schema; one TorchRec collection per embedding width, of one table, which the
    schema's tables of that width share.

    Build it, put it into the model, and wrap the whole model with `shard`.
    """

    def __init__(
        self,
        tables: dict[str, Table],
        *,
        init_std: float,
        seed: int,
        world_size: int,
        config: TablesConfig | None = None,
        new_ids: int = 0,
    ) -> None:
        """new_ids: at most as many come in one step, over all ranks; room is kept for them where
        ids are evicted."""
        super().__init__()
        self.config = config or TablesConfig()
        rules = rules_of(tables, self.config)
        self._seeds = {name: signed(table_seed(name, seed)) for name in tables}
        self._init_std = init_std
        self._gatherings: list[Gathering] = []
        self._asked: deque[list[Exchange]] = deque()
        self.widths = list(widths_of(tables, self.config, world_size, new_ids))
        self.by_width = nn.ModuleDict()
        self.steps = 0
        """That these tables have ever trained for: what is kept of an id is told in them."""
        for width in self.widths:
            table = EmbeddingConfig(
                name=f"width_{width.dim}",
                embedding_dim=width.dim,
                feature_names=list(width.tables),
                # Each rank's shard keeps one row for ids it does not know.
                num_embeddings=world_size * (width.rows + 1),
                init_fn=nn.init.zeros_,
            )
            everyone = (0, table.num_embeddings)
            self.by_width[str(width.dim)] = ManagedCollisionEmbeddingCollection(
                EmbeddingCollection(tables=[table], device=torch.device("meta")),
                ManagedCollisionCollection(
                    {table.name: OwnedIds(width, rules, everyone, world_size)}, [table]
                ),
            )

    def forward(self, ids: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """{table: ids [n]} -> {table: vectors [n, dim]}. Collective: every rank must call it.

        Ids are made unique before the exchange, and after it.
        """
        if not self._asked:
            self.ask(ids)
        vectors: dict[str, torch.Tensor] = {}
        for exchange in self._asked.popleft():
            for name, found in exchange.vectors().items():
                if len(exchange.back[name]) != len(ids[name]):
                    raise RuntimeError(f"table {name!r}: other ids were asked for ahead")
                vectors[name] = found[exchange.back[name]]
        return vectors

    def ask(self, ids: dict[str, torch.Tensor]) -> None:
        """Begin the exchange of the ids of a call to come, under what is computed until then: how
        many there are for whom; `send` goes on with the ids themselves. Calls come in the order in
        which they were asked for. Collective, as `send` is."""
        self._asked.append(
            [
                Exchange(collection, {name: ids[name] for name in width.tables})
                for width, collection in zip(self.widths, self._sharded(), strict=True)
            ]
        )

    def is_asked(self) -> bool:
        """Whether the exchange for the next call has begun."""
        return bool(self._asked)

    def send(self) -> None:
        """The ids that were asked for; the call does it where nobody has. The host waits for their
        counts."""
        for asked in self._asked:
            for exchange in asked:
                exchange.send()

    def _sharded(self) -> list[Any]:
        # TorchRec's ShardedManagedCollisionEmbeddingCollection, which types these loosely.
        return list(self.by_width.values())

    def take_over(self) -> None:
        """What `shard` does at its end: a backward pass now ends at the rows' vectors, and the end
        of a step is this module's."""
        self._shards = []
        for width, collection in zip(self.widths, self._sharded(), strict=True):
            (owned,) = collection._managed_collision_collection._managed_collision_modules.values()
            ((kernel, number),) = collection._table_to_tbe_and_index.values()
            weights = kernel.split_embedding_weights()[int(number)]
            momentum = kernel.split_optimizer_states()[int(number)][0]
            self._shards.append(Shard(width, owned, weights, momentum))
            (lookup,) = collection._embedding_module._lookups
            lookup.forward = Gathering(
                lookup.forward,
                owned,
                width.dim,
                seeds=[self._seeds[name] for name in width.tables],
                init_std=self._init_std,
            )
            self._gatherings.append(lookup.forward)
        self._room = Room({of.width.dim: of.pool for of in self._shards}, self.config)

    def set_learning_rate(self, rate: float) -> None:
        """The learning rate of all tables from the next update on."""
        for collection in self._sharded():
            for kernel, _ in collection._table_to_tbe_and_index.values():
                kernel.set_learning_rate(rate)

    def gather_gradients(self) -> None:
        """After the backward pass of a (micro-)batch: keep what it gave each row of this rank's."""
        for gathering in self._gatherings:
            gathering.gather()

    def forget_gradients(self) -> None:
        """Of what was kept."""
        for gathering in self._gatherings:
            gathering.forget()

    def gradient_square(self, device: torch.device) -> torch.Tensor:
        """Float64 []: the square of the norm of the gradient that this rank's rows have gathered,
        every row's over all ranks and micro-batches."""
        squares = [gathering.square().to(device) for gathering in self._gatherings]
        return torch.stack(squares).sum()

    def update(self, scale: float) -> None:
        """Row-wise Adagrad on the gathered gradients, times `scale`; each row once."""
        for shard, gathering in zip(self._shards, self._gatherings, strict=True):
            shard.before_change(gathering.rows())
            gathering.update(scale)

    def counts(self) -> torch.Tensor:
        """Float64, on the device: what this rank has to tell of the step, to be summed over all
        ranks and told to `heard`; counted anew from now on."""
        return counts_of([shard.pool for shard in self._shards])

    def heard(self, counts: torch.Tensor) -> StepTables:
        """What the sum of all ranks' `counts`, on the CPU, says of all tables. Raises
        CapacityError, on every rank, where they hold more than they may."""
        told = facts_of(
            [shard.pool for shard in self._shards],
            [width.dim for width in self.widths],
            counts,
        )
        self._room.demand(told)
        return told

    def end_step(self, told: StepTables) -> None:
        """Let ids go where there is no room, or that have outlived their time. Collective."""
        all_ = All(self._shards[0].weights.device)
        for dim, rows in self._room.gone(self.steps, told, all_).items():
            (shard,) = (of for of in self._shards if of.width.dim == dim)
            shard.drop(rows, self.steps)
        self.continue_from(self.steps + 1)

    def snapshot(self) -> TablesSnapshot:
        """What this rank holds now, to be read part by part while training goes on; the one before
        is over."""
        aside = {k: v for shard in self._shards for k, v in shard.pool.aside().items()}
        return TablesSnapshot(self.steps, [shard.snapshot() for shard in self._shards], aside)

    def forget_snapshot(self) -> None:
        """It has been read, or nobody will."""
        for shard in self._shards:
            shard.forget_snapshot()

    def local_rows(self) -> dict[str, ShardRows]:
        """What this rank owns of every table, whole."""
        found = {name: [ShardRows.none(w.dim)] for w in self.widths for name in w.tables}
        for shard in self._shards:
            for part in Snapshot(shard.pool, shard.weights, shard.momentum).parts():
                for name, rows in part.items():
                    found[name].append(rows)
        return {name: ShardRows.joined(parts) for name, parts in found.items()}

    def load_rows(
        self, parts: Iterable[Mapping[str, ShardRows]], rank: int, world_size: int
    ) -> None:
        """Take over the rows this rank owns, out of all ranks' parts of any former world size, in
        the order in which they were. Raises CapacityError where they are too many."""
        for part in parts:
            mine = {n: rows.at(owner(rows.keys, world_size) == rank) for n, rows in part.items()}
            for shard in self._shards:
                shard.load(mine)

    def load_aside(self, told: Mapping[str, torch.Tensor], rank: int, world_size: int) -> None:
        """Take over what was kept of ids without a row, out of a rank's of any former world."""
        for shard in self._shards:
            shard.pool.load_aside(told, lambda keys: owner(keys, world_size) == rank)

    def continue_from(self, steps: int) -> None:
        """Count on from so many steps."""
        self.steps = steps
        for shard in self._shards:
            shard.owned.step = steps

    def deltas(self, since: int) -> dict[str, Delta]:
        """What changed on this rank in step `since` and those after it, by the tables' own count
        (`steps`). Raises ValueError where it is not known any more which ids went since."""
        found = {}
        for shard in self._shards:
            pool = shard.pool
            rows = (pool.last[1 : int(pool.count) + 1] >= since).nonzero().flatten() + 1
            for name in pool.tables:
                if since < pool.gone[name].since:
                    raise ValueError(
                        f"table {name!r}: which ids went is known from step "
                        f"{pool.gone[name].since} on, not from {since} on; freeze it whole"
                    )
                mine = rows[pool.of_table(name, rows)]
                touched = LearnedRows(pool.keys[mine].cpu(), shard.weights[mine].cpu())
                gone = pool.gone[name].from_step(since)
                found[name] = Delta(since, self.steps, touched, gone)
        return found

    def not_finite(self) -> list[str]:
        """Tables of which this rank holds a vector that is not finite."""
        found = []
        for shard in self._shards:
            finite = torch.isfinite(shard.weights[: int(shard.pool.count) + 1]).all(dim=1)
            if not finite.all():
                of = shard.pool.table[(~finite).nonzero().flatten()].unique().tolist()
                found += [shard.width.tables[number] for number in of]
        return found


def owner(keys: torch.Tensor, world_size: int) -> torch.Tensor:
    """The rank that owns each key: its unsigned value modulo the number of ranks, as fbgemm deals
    ids of unbounded range."""
    # (2^64 - 2^63) modulo n shifts the signed remainder to the unsigned one.
    return torch.remainder(
        torch.remainder(keys, world_size) + (keys < 0) * ((1 << 64) % world_size), world_size
    )
