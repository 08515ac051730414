"""One rank of `test_sharded.py`: python sharded_worker.py RANK FOLDER.

The ranks meet through files in FOLDER, train the same steps in worlds of 3, 2 and 1, move the rows
of each world to the next, and write what they saw to FOLDER.
"""

import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from rayrank.embedding.budget import TableRules, TablesConfig
from rayrank.embedding.place import shard
from rayrank.embedding.sharded import ShardedTables
from rayrank.embedding.tables import ShardRows
from rayrank.errors import CapacityError, ConfigError
from rayrank.schema import Table
from rayrank.train.dense import average_gradients
from torch import Tensor, nn

WORLDS = (3, 2, 1)
RATE, STD, SEED = 0.5, 0.3, 7
TABLES = {
    "item": Table(dim=8, capacity=400),
    "tag": Table(dim=8, capacity=400),
    "city": Table(dim=4, capacity=400),
}
CROWDED = TablesConfig(
    budget=150,
    evict="least_frequent",
    half_life=10,
    admit_after=2,
    time_to_live=20,
    only={"tag": TableRules(capacity=40, admit_after=1, priority=1)},
)
CROWD_STEPS, CROWD_MOVES, DELTA_SINCE = 40, 30, 28
PROBE = torch.tensor([0, -1, 5, 9, 1 << 62, -(1 << 63), 123_456])
Ids = dict[str, Tensor]
Batch = tuple[Ids, Ids]
"""ids [n] and upstream gradients [n, dim] of each table."""


def parts_of(step: int) -> list[Batch]:
    """A step's batch in six parts, of sizes that differ; some are empty, some in one table."""
    draw = torch.Generator().manual_seed(step)
    parts = []
    for part in range(6):
        ids, gradients = {}, {}
        for name, table in TABLES.items():
            empty = (part + step) % 6 == 0 or (name == "city" and part == 2)
            count = 0 if empty else int(torch.randint(1, 30, (1,), generator=draw))
            low = torch.randint(-8, 12, (count,), generator=draw)
            ids[name] = torch.where(low > 8, low * (1 << 59), low)
            gradients[name] = torch.randn(count, table.dim, generator=draw)
        parts.append((ids, gradients))
    return parts


def joined(parts: list[Batch]) -> Batch:
    """Parts as one batch."""
    return (
        {n: torch.cat([ids[n] for ids, _ in parts]) for n in TABLES},
        {n: torch.cat([g[n] for _, g in parts]) for n in TABLES},
    )


def rank_batch(step: int, rank: int, world: int) -> Batch:
    """The parts that a rank gets: uneven in a world of two, and rank 0 of step 0 has none of 3."""
    cuts = {1: [0, 6], 2: [0, 1, 6], 3: [0, 1, 3, 6]}[world]
    return joined(parts_of(step)[cuts[rank] : cuts[rank + 1]])


def candidates_of(step: int) -> int:
    """What the loss is averaged over."""
    return sum(len(ids["item"]) for ids, _ in parts_of(step))


class Model(nn.Module):
    """Tables, and something that is replicated."""

    def __init__(self, tables: ShardedTables) -> None:
        super().__init__()
        self.tables = tables
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, ids: Ids) -> Ids:
        return {n: v * self.gain for n, v in self.tables(ids).items()}


def build(
    world: int, tables: dict[str, Table], config: TablesConfig | None = None
) -> tuple[nn.Module, ShardedTables]:
    sharded = ShardedTables(
        tables, init_std=STD, seed=SEED, world_size=world, config=config, new_ids=400
    )
    return shard(Model(sharded), sharded, learning_rate=RATE, device=torch.device("cpu")), sharded


def steps(world: int, rank: int, folder: Path, first: int) -> None:
    """Two steps from where the last world stopped."""
    model, tables = build(world, TABLES)
    if first:
        held = sorted(folder.glob(f"rows-{first}-*.pt"))
        tables.load_rows([torch.load(path, weights_only=False) for path in held], rank, world)
    seen, gains = [], []
    model.train()
    for step in (first, first + 1):
        ids, upstream = rank_batch(step, rank, world)
        vectors = model(ids)
        seen.append({n: v.detach().clone() for n, v in vectors.items()})
        loss = sum(((vectors[n] * upstream[n]).sum() for n in TABLES), torch.zeros(()))
        # As train/optimize.py scales it.
        (loss * (world / candidates_of(step))).backward()
        tables.gather_gradients()
        tables.update(1.0)
        gain = next(p for n, p in model.named_parameters() if n.endswith("gain"))
        average_gradients([gain])
        assert gain.grad is not None
        gains.append(float(gain.grad))
        gain.grad = None
    rows: dict[str, ShardRows] = tables.local_rows()
    torch.save(rows, folder / f"rows-{first + 2}-{rank}.pt")
    read = [(of.rows_asked, of.rows_read) for of in tables._gatherings]
    model.eval()
    probed = model(dict.fromkeys(TABLES, PROBE))
    after = tables.local_rows()
    torch.save(
        {
            "seen": seen,
            "gains": gains,
            "probed": {n: v.detach() for n, v in probed.items()},
            "kept": {n: len(after[n].keys) for n in TABLES},
            "read": read,
        },
        folder / f"saw-{first}-{rank}.pt",
    )


def crowd_of(step: int, rank: int, world: int) -> Batch:
    """A rank's part of a step of many ids, some of which come again and again."""
    draw = torch.Generator().manual_seed(1000 + step)
    ids, gradients = {}, {}
    for name, table in TABLES.items():
        drawn = (torch.rand(60, generator=draw).pow(3) * 400).long() + 5 * step
        upstream = torch.randn(60, table.dim, generator=draw)
        cuts = {1: [0, 60], 2: [0, 13, 60], 3: [0, 20, 20, 60]}[world]
        mine = slice(cuts[rank], cuts[rank + 1])
        ids[name], gradients[name] = drawn[mine], upstream[mine]
    return ids, gradients


def crowded(world: int, rank: int) -> dict[str, Any]:
    """What is left after many steps of tables with a budget, which once go to new tables, as from a
    checkpoint."""
    model, tables = build(world, TABLES, CROWDED)
    went, before = 0, {}
    for step in range(CROWD_STEPS):
        if step == DELTA_SINCE:
            before = tables.local_rows()
        if step == CROWD_MOVES:
            saved = tables.snapshot()
            parts, aside, steps = list(saved.parts()), saved.aside, saved.steps
            model, tables = build(world, TABLES, CROWDED)
            tables.load_rows(parts, rank, world)
            tables.load_aside(aside, rank, world)
            tables.continue_from(steps)
        model.train()
        ids, upstream = crowd_of(step, rank, world)
        vectors = model(ids)
        loss = sum(((vectors[n] * upstream[n]).sum() for n in TABLES), torch.zeros(()))
        (loss * (world / 60)).backward()
        tables.gather_gradients()
        counts = tables.counts()
        dist.all_reduce(counts)
        told = tables.heard(counts)
        tables.update(1.0)
        tables.end_step(told)
        went += sum(of.evicted for of in told.tables.values())
    return {
        "before": before,
        "rows": tables.local_rows(),
        "deltas": tables.deltas(DELTA_SINCE),
        "evicted": went,
        "aside": tables.snapshot().aside,
    }


def fill(world: int) -> str:
    """What a table says that is too small."""
    model, tables = build(world, {"tiny": Table(dim=4, capacity=3)})
    model.train()
    try:
        model({"tiny": torch.arange(4)})
        counts = tables.counts()
        dist.all_reduce(counts)
        tables.heard(counts)
    except CapacityError as error:
        return str(error)
    return "nothing"


def too_large(world: int) -> str:
    """What is said of a table that no machine holds."""
    try:
        build(world, {"vast": Table(dim=1024, capacity=1 << 30)})
    except ConfigError as error:
        return str(error)
    return "nothing"


def asked_ahead(world: int, rank: int) -> tuple[list[Ids], list[Ids], str]:
    """Vectors of two calls, first as they come, then both asked for ahead of the first; what is
    said where others were asked for than the call is about."""
    found = []
    for ahead in (False, True):
        model, tables = build(world, TABLES)
        model.train()
        calls = [rank_batch(step, rank, world)[0] for step in (0, 1)]
        if ahead:
            tables.ask(calls[0])
            tables.ask(calls[1])
            assert tables.is_asked()
            tables.send()
        found.append([{n: v.detach() for n, v in model(ids).items()} for ids in calls])
        assert not tables.is_asked()
    tables.ask(calls[0])
    try:
        model({name: torch.cat([ids, ids[:1], PROBE]) for name, ids in calls[0].items()})
    except RuntimeError as error:
        return found[0], found[1], str(error)
    return found[0], found[1], "nothing"


def main() -> None:
    rank, folder = int(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    for number, world in enumerate(WORLDS):
        if rank >= world:
            return
        dist.init_process_group(
            "gloo", init_method=f"file://{folder}/meet-{world}", rank=rank, world_size=world
        )
        steps(world, rank, folder, 2 * number)
        torch.save(asked_ahead(world, rank), folder / f"ahead-{world}-{rank}.pt")
        torch.save(crowded(world, rank), folder / f"crowded-{world}-{rank}.pt")
        if world == 1:
            (folder / "full.txt").write_text(fill(world))
            (folder / "large.txt").write_text(too_large(world))
        dist.barrier()
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
