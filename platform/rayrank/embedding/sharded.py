"""Dynamic tables over TorchRec: sharded by row, updated by a fused optimizer.

TorchRec's managed-collision collections let a module of ours map ids to rows on the rank that
owns them; the planner, the exchange of ids and vectors and the update are TorchRec's.
"""

from collections import deque
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from fbgemm_gpu.split_embedding_configs import EmbOptimType
from torch import nn
from torchrec.distributed.embedding import EmbeddingCollectionSharder
from torchrec.distributed.mc_embedding import ManagedCollisionEmbeddingCollectionSharder
from torchrec.distributed.mc_modules import ManagedCollisionCollectionSharder
from torchrec.distributed.model_parallel import DistributedModelParallel
from torchrec.distributed.planner import EmbeddingShardingPlanner, Topology
from torchrec.distributed.planner.types import ParameterConstraints
from torchrec.distributed.types import ShardingEnv
from torchrec.modules.embedding_configs import EmbeddingConfig
from torchrec.modules.embedding_modules import EmbeddingCollection
from torchrec.modules.mc_embedding_modules import ManagedCollisionEmbeddingCollection
from torchrec.modules.mc_modules import ManagedCollisionCollection

from rayrank.embedding.exchange import Exchange
from rayrank.embedding.gradients import Gathering
from rayrank.embedding.hashing import table_seed
from rayrank.embedding.owned_ids import OwnedIds
from rayrank.embedding.tables import ShardRows, slots_of, vectors_of
from rayrank.schema import Table


class ShardedTables(nn.Module):
    """All tables of a schema; one TorchRec collection per embedding width.

    Build it, put it into the model, and wrap the whole model with `shard`.
    """

    def __init__(
        self, tables: dict[str, Table], *, init_std: float, seed: int, world_size: int
    ) -> None:
        super().__init__()
        self._tables, self._init_std, self._seed = tables, init_std, seed
        self._gatherings: list[Gathering] = []
        self._asked: deque[list[Exchange]] = deque()
        self.by_width = nn.ModuleDict()
        for dim in sorted({table.dim for table in tables.values()}):
            configs = [
                EmbeddingConfig(
                    name=name,
                    embedding_dim=dim,
                    feature_names=[name],
                    # Each rank's shard keeps one row for ids it does not know.
                    num_embeddings=world_size * (_shard_capacity(table, world_size) + 1),
                    init_fn=nn.init.zeros_,
                )
                for name, table in tables.items()
                if table.dim == dim
            ]
            self.by_width[str(dim)] = ManagedCollisionEmbeddingCollection(
                EmbeddingCollection(tables=configs, device=torch.device("meta")),
                ManagedCollisionCollection(
                    {
                        c.name: OwnedIds(
                            c.name,
                            _shard_capacity(tables[c.name], world_size),
                            (0, c.num_embeddings),
                            world_size,
                        )
                        for c in configs
                    },
                    configs,
                ),
            )

    def forward(self, ids: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """{table: ids [n]} -> {table: vectors [n, dim]}. Collective: every rank must call it.

        Ids are made unique before the exchange. CapacityError when a table is full.
        """
        if not self._asked:
            self.ask(ids)
        vectors: dict[str, torch.Tensor] = {}
        for exchange in self._asked.popleft():
            for name, learned in exchange.learned().items():
                keys, back = exchange.keys[name], exchange.back[name]
                if len(back) != len(ids[name]):
                    raise RuntimeError(f"table {name!r}: other ids were asked for ahead")
                seed = table_seed(name, self._seed)
                of = vectors_of(keys, learned, seed, self._init_std, self.training)
                vectors[name] = of[back]
        return vectors

    def ask(self, ids: dict[str, torch.Tensor]) -> None:
        """Begin the exchange of the ids of a call to come, under what is computed until then: how
        many there are for whom; `send` goes on with the ids themselves. Calls come in the order in
        which they were asked for. Collective, as `send` is."""
        self._asked.append(
            [
                Exchange(
                    collection, {n: ids[n] for n, t in self._tables.items() if t.dim == int(dim)}
                )
                for dim, collection in self.by_width.items()
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

    def shards(self) -> Iterator[tuple[str, "OwnedIds", torch.Tensor, torch.Tensor]]:
        """Per table, after `shard`: this rank's id map, weights [rows, dim], momentum [rows]."""
        for collection in self._sharded():
            maps = collection._managed_collision_collection._managed_collision_modules
            for name, (kernel, index) in collection._table_to_tbe_and_index.items():
                number = int(index)
                yield (
                    name,
                    maps[name],
                    kernel.split_embedding_weights()[number],
                    kernel.split_optimizer_states()[number][0],
                )

    def _sharded(self) -> list[Any]:
        # TorchRec's ShardedManagedCollisionEmbeddingCollection, which types these loosely.
        return list(self.by_width.values())

    def gather(self) -> None:
        """What `shard` does at its end: from now on a backward pass ends at the rows' vectors."""
        for dim, collection in zip(self.by_width, self._sharded(), strict=True):
            for lookup in collection._embedding_module._lookups:
                lookup.forward = Gathering(lookup.forward, int(dim))
                self._gatherings.append(lookup.forward)

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
        for gathering in self._gatherings:
            gathering.update(scale)

    def local_rows(self) -> dict[str, ShardRows]:
        """What this rank owns of every table."""
        rows = {}
        for name, owned, weights, momentum in self.shards():
            used = slice(1, len(owned.map) + 1)
            rows[name] = ShardRows(
                owned.map.ids().clone(),
                weights[used].detach().clone(),
                momentum[used].detach().clone(),
            )
        return rows

    def load_rows(self, rows: dict[str, list[ShardRows]], rank: int, world_size: int) -> None:
        """Take over the rows this rank owns, out of all ranks' rows of any former world size."""
        for name, owned, weights, momentum in self.shards():
            for saved in rows[name]:
                part = saved.to(weights.device)  # where the map and the weights are
                mine = owner(part.keys, world_size) == rank
                slots = slots_of(owned.map, part.keys[mine], True, owned.capacity, name)
                with torch.no_grad():
                    weights[slots] = part.vectors[mine]
                    momentum[slots] = part.momentum[mine]


def owner(keys: torch.Tensor, world_size: int) -> torch.Tensor:
    """The rank that owns each key: its unsigned value modulo the number of ranks, as fbgemm deals
    ids of unbounded range."""
    # (2^64 - 2^63) modulo n shifts the signed remainder to the unsigned one.
    return torch.remainder(
        torch.remainder(keys, world_size) + (keys < 0) * ((1 << 64) % world_size), world_size
    )


def shard(
    model: nn.Module, tables: ShardedTables, *, learning_rate: float, device: torch.device
) -> DistributedModelParallel:
    """Shard the tables in `model` over the default process group. Everything else stays as it is:
    on every rank, its gradients the rank's own."""
    sharder = ManagedCollisionEmbeddingCollectionSharder(
        EmbeddingCollectionSharder(
            fused_params={
                "optimizer": EmbOptimType.EXACT_ROWWISE_ADAGRAD,
                "learning_rate": learning_rate,
                "eps": 1e-8,
            }
        ),
        ManagedCollisionCollectionSharder(),
    )
    group = dist.group.WORLD
    assert group is not None
    by_row = ParameterConstraints(sharding_types=["row_wise"], compute_kernels=["fused"])
    planner = EmbeddingShardingPlanner(
        topology=Topology(world_size=group.size(), compute_device=device.type),
        constraints=dict.fromkeys(tables._tables, by_row),
    )
    sharded = DistributedModelParallel(
        model,
        env=ShardingEnv.from_process_group(group),
        device=device,
        plan=planner.collective_plan(model, [sharder], group),
        sharders=[sharder],
        init_data_parallel=False,
    )
    sharded.module.to(device)
    tables.gather()
    return sharded


def _shard_capacity(table: Table, world_size: int) -> int:
    # Keys are dealt by value, evenly but not exactly so.
    even = -(-table.capacity // world_size)
    return even if world_size == 1 else even + even // 4 + 16
