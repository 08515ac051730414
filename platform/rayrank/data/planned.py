"""The batches of an epoch, read as its plan says."""

import json
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rayrank.data.packing import row_costs, shares
from rayrank.data.plan import PLAN, take_turns
from rayrank.storage import AnyPath, arrow_place


class Part(NamedTuple):
    """What is wanted of a bucket."""

    files: list[str]
    row_groups: list[int]
    batches: pa.ListArray
    """The rows of each batch, counted through the row groups laid end to end."""


Reader: TypeAlias = Callable[[AnyPath, list[Part]], Iterator[pa.Table]]
"""(the folder of rows, parts) -> the rows of each batch, in the order of the parts."""


def batches_of_epochs(plan: AnyPath) -> list[int]:
    """How many batches each epoch has, of a plan that is complete."""
    batches: list[int] = _told(plan)["batches"]
    return batches


def rows_beyond(plan: AnyPath) -> str | None:
    """What is to be said of rows that cost more than a batch may; None where there are none."""
    told = _told(plan)
    if not told["beyond"]:
        return None
    return (
        f"{told['beyond']:,} rows cost more than train.max_cost ({told['max_cost']:,.0f}), the "
        f"dearest {told['dearest']:,.0f}: each is a batch of its own, and other workers wait for it"
    )


def read_here(rows: AnyPath, parts: list[Part]) -> Iterator[pa.Table]:
    """A `Reader` of this process: a part is read when its first batch is asked for."""
    for part in parts:
        yield from read_part(rows, part)


def read_part(rows: AnyPath, part: Part) -> list[pa.Table]:
    """The rows of each batch: views of one table."""
    blocks = []
    for name, row_group in zip(part.files, part.row_groups, strict=True):
        filesystem, path = arrow_place(rows / name)
        with filesystem.open_input_file(path) as source:
            blocks.append(pq.ParquetFile(source).read_row_group(row_group))
    order = part.batches.flatten().cast(pa.int64())
    read = pa.concat_tables(blocks).take(order).combine_chunks()
    tables, start = [], 0
    for length in part.batches.value_lengths().to_pylist():
        tables.append(read.slice(start, length))
        start += length
    return tables


class PlannedBatches:
    """The batches of one epoch: whole users, by number. A rank reads of a bucket the batches that
    it needs; it holds the rows of `LANES` buckets at most, decoded; one that reads every n-th
    batch reads few files that others read."""

    def __init__(self, rows: AnyPath, plan: AnyPath, epoch: int) -> None:
        """rows: the folder the plan was made of."""
        self._rows = rows
        self._pair_cost: float = _told(plan)["pair_cost"]
        stored = (plan / f"epoch-{epoch}.arrow").read_bytes()
        self._buckets = pa.ipc.open_file(stored).read_all().combine_chunks()
        counts = pc.list_value_length(self._buckets["costs"]).to_pylist()
        self._places = list(take_turns(counts))

    def __len__(self) -> int:
        return len(self._places)

    def cost(self, number: int) -> float:
        """Of batch `number`."""
        bucket, batch = self._places[number]
        return float(self._buckets["costs"][bucket][batch].as_py())

    def deal(
        self, rank: int, world_size: int, done: int, each: int = 1, read: Reader = read_here
    ) -> Iterator[list[pa.Table]]:
        """One rank's share of the batches from number `done` on, so many in `each` step. In the
        last step, where fewer are left, all ranks share their rows, in as few batches as hold
        them: a rank that has no row left gets an empty table, so that all take part."""
        of_step = world_size * each
        whole = (len(self) - done) // of_step
        firsts = [done + of_step * step for step in range(whole)]
        steps = [list(range(first + rank, first + of_step, world_size)) for first in firsts]
        left = list(range(done + of_step * whole, len(self)))
        tables = self._read([n for numbers in steps for n in numbers] + left, read)
        for numbers in steps:
            yield list(islice(tables, len(numbers)))
        if left:
            yield self._shared(list(tables), rank, world_size)

    def _shared(self, left: list[pa.Table], rank: int, world_size: int) -> list[pa.Table]:
        """One rank's share of the rows of the last batches."""
        rows = pa.concat_tables(left).combine_chunks()
        each = -(-len(left) // world_size)
        mine = shares(row_costs(rows, self._pair_cost), world_size * each)[rank::world_size]
        return [rows.take(pa.array(share, pa.int64())) for share in mine]

    def _read(self, numbers: list[int], read: Reader) -> Iterator[pa.Table]:
        """The rows of these batches, each bucket read once, when its first batch is due."""
        wanted: dict[int, list[int]] = {}
        for number in numbers:
            bucket, batch = self._places[number]
            wanted.setdefault(bucket, []).append(batch)
        arriving = read(self._rows, [self._part(*of) for of in wanted.items()])
        waiting: dict[int, deque[pa.Table]] = {}
        for number in numbers:
            bucket, _ = self._places[number]
            if bucket not in waiting:
                waiting[bucket] = deque(islice(arriving, len(wanted[bucket])))
            yield waiting[bucket].popleft()
            if not waiting[bucket]:
                del waiting[bucket]

    def _part(self, bucket: int, batches: list[int]) -> Part:
        told = {name: self._buckets[name][bucket] for name in Part._fields}
        return Part(
            told["files"].as_py(),
            told["row_groups"].as_py(),
            told["batches"].values.take(pa.array(batches, pa.int64())),
        )


def _told(plan: AnyPath) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((plan / PLAN).read_text())
    return told
