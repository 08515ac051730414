"""Tables with a budget on one rank of several, without TorchRec: what tests of `room` drive.

    python -m tests.embedding.held RANK WORLD MEETING

does what it is told on its standard input, a pickled call at a time, as one of WORLD ranks that
meet through the file MEETING, and answers on its standard output.
"""

import pickle
import sys
from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from rayrank.embedding.budget import TablesConfig, rules_of, widths_of
from rayrank.embedding.evict import All
from rayrank.embedding.facts import counts_of, facts_of
from rayrank.embedding.hashing import mix
from rayrank.embedding.owned_ids import OwnedIds
from rayrank.embedding.room import Room
from rayrank.embedding.shard import Shard
from rayrank.embedding.sharded import owner
from rayrank.embedding.tables import ShardRows
from rayrank.schema import Table

CPU = torch.device("cpu")
TABLES = {
    "item": Table(dim=8, capacity=24),
    "tag": Table(dim=8, capacity=16),
    "city": Table(dim=4, capacity=12),
}
Gone = dict[str, set[int]]
Saved = tuple[list[dict[str, ShardRows]], dict[str, torch.Tensor], int]
"""Parts of rows, what is kept of ids without one, steps: of one rank."""


class Held:
    """One rank's, in a world whose process group there is."""

    def __init__(self, config: TablesConfig, new_ids: int = 200) -> None:
        self.rules = rules_of(TABLES, config)
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        self.shards = []
        for width in widths_of(TABLES, config, self.world, new_ids):
            owned = OwnedIds(width, self.rules, (0, width.rows + 1), 1, width.rows)
            weights, momentum = torch.zeros(width.rows + 1, width.dim), torch.zeros(width.rows + 1)
            self.shards.append(Shard(width, owned, weights, momentum))
        self.pools = {shard.width.dim: shard.pool for shard in self.shards}
        self.room, self.step = Room(self.pools, config), 0

    def take(self, asked: Mapping[str, list[int]]) -> Gone:
        """One step, in which these ids are looked up; the keys that go at its end."""
        for shard in self.shards:
            for name in shard.width.tables:
                keys = mix(torch.tensor(asked[name], dtype=torch.int64))
                keys = keys[owner(keys, self.world) == self.rank]
                # As micro-batches and ranks do: in two parts, one of them with every key twice.
                half = len(keys) // 2
                for part in (torch.cat([keys[:half], keys[:half]]), keys[half:]):
                    rows = shard.pool.seen_in(self.step, name, part)
                    has = rows > 0
                    shard.weights[rows[has]] = learned(part[has])[:, None]
                    shard.momentum[rows[has]] = learned(part[has])
        pools = list(self.pools.values())
        counts, gone = counts_of(pools), {name: set[int]() for name in TABLES}
        dist.all_reduce(counts)
        told = facts_of(pools, list(self.pools), counts)
        self.room.demand(told)
        rows_of = self.room.gone(self.step, told, All(CPU))
        for shard in self.shards:
            rows, pool = rows_of.get(shard.width.dim, torch.empty(0, dtype=torch.int64)), shard.pool
            for name in pool.tables:
                gone[name] |= set(pool.keys[rows[pool.of_table(name, rows)]].tolist())
            shard.drop(rows, self.step)
        self.step += 1
        return gone

    def content(self) -> dict[str, dict[int, list[int]]]:
        """Table -> key -> its last step and sightings. Everything that is kept of an id agrees."""
        found: dict[str, dict[int, list[int]]] = {}
        for shard in self.shards:
            pool = shard.pool
            count = int(pool.count)
            rows = torch.arange(1, count + 1)
            assert torch.equal(shard.weights[rows, 0], learned(pool.keys[rows]))
            assert torch.equal(shard.momentum[rows], learned(pool.keys[rows]))
            assert not shard.weights[count + 1 :].any()
            assert not shard.momentum[count + 1 :].any()
            for name in pool.tables:
                mine = rows[pool.of_table(name, rows)]
                assert torch.equal(pool.find(name, pool.keys[mine]), mine)
                assert int(pool.sizes[pool.tables.index(name)]) == len(mine)
                told = zip(pool.last[mine].tolist(), pool.sightings[mine].tolist(), strict=True)
                found[name] = dict(zip(pool.keys[mine].tolist(), map(list, told), strict=True))
        return found

    def save(self) -> Saved:
        """As a checkpoint has it."""
        parts = [part for shard in self.shards for part in shard.snapshot().parts()]
        aside = {k: v for shard in self.shards for k, v in shard.pool.aside().items()}
        return parts, aside, self.step

    def load(self, saved: list[Saved]) -> None:
        """What all ranks of any world saved, into new tables."""
        for parts, aside, self.step in saved:
            for part in parts:
                mine = {n: r.at(owner(r.keys, self.world) == self.rank) for n, r in part.items()}
                for shard in self.shards:
                    shard.load(mine)
            for shard in self.shards:
                shard.pool.load_aside(aside, lambda keys: owner(keys, self.world) == self.rank)


def learned(keys: torch.Tensor) -> torch.Tensor:
    """float32 [n]: what stands in an id's vector and momentum."""
    return 1.0 + (keys & 0xFFFF).float()


def main() -> None:
    rank, world, meeting = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=world)
    held: Any = None
    while True:
        try:
            what, told = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        if what == "new":
            held, answer = Held(told), None
        else:
            answer = getattr(held, what)(*told)
        pickle.dump(answer, sys.stdout.buffer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
