"""The plan of an epoch: which user rows make which batch, and in which order.

Made of (seed, epoch, the files of rows) alone, and small: two bytes a row, never a second copy of
it. Blocks (row groups of the files) are drawn into buckets of some thousand rows; each bucket is
packed into batches of like cost, and is what a reader reads at once. Batches of several buckets
take turns, so that neighbours have little in common and ranks read different files.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rayrank.data.held_out import DayPart
from rayrank.data.mixing import mixed_order
from rayrank.data.packing import balance, row_costs
from rayrank.data.row_files import row_files
from rayrank.errors import DataError
from rayrank.storage import AnyPath, arrow_place, write_whole

BUCKET_ROWS = 2048
"""Rows that are mixed and packed together, more or less."""
LANES = 8
"""Buckets that are open at a time."""
PLAN = "plan.json"
"""The file that says that all epochs are planned, and how many batches each has."""
BUCKETS = pa.schema(
    {
        "files": pa.list_(pa.string()),
        "row_groups": pa.list_(pa.int32()),
        "batches": pa.list_(pa.list_(pa.uint16())),
        "costs": pa.list_(pa.float32()),
    }
)
"""A line per bucket: its blocks; the rows of each batch, counted through the blocks laid end to
end; what each batch costs."""


class Packing(NamedTuple):
    """What decides, with the rows, which batches there are and in which order."""

    seed: int
    epochs: int
    max_cost: float
    """Of a batch, in tokens that cost as much as tokens do on average: its tokens, where all rows
    are alike; fewer of long rows, whose tokens see more."""
    pair_cost: float
    """Of a visible pair, in what a token costs beside its pairs."""


class Block(NamedTuple):
    """A row group of user rows."""

    file: str
    """By its path under the folder of rows."""
    row_group: int
    tokens: int
    costs: np.ndarray
    """float64 [rows that are planned]"""
    places: np.ndarray
    """int64 [rows that are planned]: which of the row group's."""
    rows: int
    """Of the row group, planned or not."""


def plan_epochs(rows: AnyPath, packing: Packing, out: AnyPath, part: DayPart | None = None) -> None:
    """Plan every epoch over the user rows under `rows`, or a part of them: `out/epoch-N.arrow`,
    `out/plan.json` last.

    Does nothing where it is complete (a resumed run): `out` belongs to these rows and this packing.
    Reads two columns (three of a part). Raises DataError where there are no rows.
    """
    if (out / PLAN).exists():
        return
    blocks = _blocks(rows, packing.pair_cost, part)
    if not blocks:
        of = "" if part is None else f" of {part.day} to learn from"
        raise DataError(f"{rows}: no user rows{of}; run jobs/build_rows.py first")
    average = sum(block.costs.sum() for block in blocks) / sum(block.tokens for block in blocks)
    blocks = [block._replace(costs=block.costs / average) for block in blocks]
    costs = np.concatenate([block.costs for block in blocks])
    beyond = {"beyond": int((costs > packing.max_cost).sum()), "dearest": float(costs.max())}
    batches = []
    for epoch in range(packing.epochs):
        buckets = plan_epoch(blocks, packing, epoch)
        batches.append(sum(len(bucket) for bucket in buckets["costs"].to_pylist()))
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, BUCKETS) as writer:
            writer.write_table(buckets)
        write_whole(out / f"epoch-{epoch}.arrow", sink.getvalue().to_pybytes())
    write_whole(out / PLAN, json.dumps({**packing._asdict(), **beyond, "batches": batches}))


def plan_epoch(blocks: list[Block], packing: Packing, epoch: int) -> pa.Table:
    """The buckets of an epoch, as `BUCKETS` says."""
    seed = (packing.seed, epoch)
    drawn = [blocks[b] for b in mixed_order(np.arange(len(blocks)), *seed)]
    total = sum(len(block.costs) for block in blocks)
    number = min(len(blocks), max(1, round(total / BUCKET_ROWS)))
    lines = []
    for bucket in range(number):
        mine = drawn[bucket::number]
        costs = np.concatenate([block.costs for block in mine])
        starts = np.cumsum([0, *(block.rows for block in mine)])
        places = np.concatenate([at + b.places for at, b in zip(starts, mine, strict=False)])
        # Which rows stand together is drawn anew every epoch: among rows of one cost, by this.
        order = mixed_order(np.arange(len(costs)), *seed, bucket)
        batches = [order[batch] for batch in balance(costs[order], packing.max_cost)]
        batches = [batches[b] for b in mixed_order(np.arange(len(batches)), *seed, bucket)]
        lines.append(
            {
                "files": [block.file for block in mine],
                "row_groups": [block.row_group for block in mine],
                "batches": [places[batch] for batch in batches],
                "costs": [costs[batch].sum() for batch in batches],
            }
        )
    return pa.Table.from_pylist(lines, BUCKETS)


def take_turns(counts: list[int]) -> Iterator[tuple[int, int]]:
    """(bucket, batch of it), for buckets of so many batches each: `LANES` buckets take turns, and
    the next one that is left comes where one is through."""
    lanes = min(LANES, len(counts))
    todo = [
        iter([(b, k) for b in range(lane, len(counts), lanes) for k in range(counts[b])])
        for lane in range(lanes)
    ]
    while todo:
        still = []
        for lane in todo:
            batch = next(lane, None)
            if batch is not None:
                yield batch
                still.append(lane)
        todo = still


def _blocks(rows: AnyPath, pair_cost: float, part: DayPart | None) -> list[Block]:
    files = [f for f in row_files(rows) if part is None or f.parent.name == part.day]
    columns = ["tokens", "visible_pairs"] + ([] if part is None else ["user"])

    def read(path: AnyPath) -> list[Block]:
        filesystem, name = arrow_place(path)
        with filesystem.open_input_file(name) as source:
            file = pq.ParquetFile(source)
            read = [file.read_row_group(group, columns) for group in range(file.num_row_groups)]
        relative = str(path)[len(str(rows)) :].lstrip("/")
        blocks = []
        for group, of in enumerate(read):
            picked = np.ones(len(of), bool) if part is None else part.picks(of["user"])
            planned, places = of.filter(pa.array(picked)), np.flatnonzero(picked)
            tokens = int(pc.sum(planned["tokens"]).as_py() or 0)
            costs = row_costs(planned, pair_cost)
            blocks.append(Block(relative, group, tokens, costs, places, len(of)))
        return blocks

    with ThreadPoolExecutor() as pool:
        found = [block for blocks in pool.map(read, files) for block in blocks]
    return [block for block in found if len(block.places)]
