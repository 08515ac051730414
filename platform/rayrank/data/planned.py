"""The batches of an epoch, read as its plan says."""

import json
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rayrank.data.packing import row_costs, shares
from rayrank.data.plan import LANES, PLAN, take_turns
from rayrank.storage import AnyPath, arrow_place


def batches_of_epochs(plan: AnyPath) -> list[int]:
    """How many batches each epoch has, of a plan that is complete."""
    batches: list[int] = _told(plan)["batches"]
    return batches


class PlannedBatches:
    """The batches of one epoch: whole users, by number. Holds the rows of `LANES` buckets at most,
    decoded; who reads every n-th batch reads few files that others read."""

    def __init__(self, rows: AnyPath, plan: AnyPath, epoch: int) -> None:
        """rows: the folder the plan was made of."""
        self._rows = rows
        self._pair_cost: float = _told(plan)["pair_cost"]
        stored = (plan / f"epoch-{epoch}.arrow").read_bytes()
        self._buckets = pa.ipc.open_file(stored).read_all().combine_chunks()
        counts = pc.list_value_length(self._buckets["costs"]).to_pylist()
        self._places = list(take_turns(counts))
        self._open: OrderedDict[int, list[pa.Table]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._places)

    def cost(self, number: int) -> float:
        """Of batch `number`."""
        bucket, batch = self._places[number]
        return float(self._buckets["costs"][bucket][batch].as_py())

    def rows(self, number: int) -> pa.Table:
        """The user rows of batch `number`."""
        bucket, batch = self._places[number]
        if bucket not in self._open:
            if len(self._open) == LANES:
                self._open.popitem(last=False)
            self._open[bucket] = self._read(bucket)
        self._open.move_to_end(bucket)
        return self._open[bucket][batch]

    def deal(
        self, rank: int, world_size: int, done: int, each: int = 1
    ) -> Iterator[list[pa.Table]]:
        """One rank's share of the batches from number `done` on, so many in `each` step. In the
        last step, where fewer are left, all ranks share their rows, in as few batches as hold
        them: a rank that has no row left gets an empty table, so that all take part."""
        for first in range(done, len(self), world_size * each):
            if first + world_size * each <= len(self):
                yield [self.rows(first + rank + world_size * k) for k in range(each)]
            else:
                yield self._shared(first, rank, world_size)

    def _shared(self, first: int, rank: int, world_size: int) -> list[pa.Table]:
        """One rank's share of the rows of the batches from number `first` to the last."""
        left = [self.rows(number) for number in range(first, len(self))]
        rows = pa.concat_tables(left).combine_chunks()
        each = -(-len(left) // world_size)
        mine = shares(row_costs(rows, self._pair_cost), world_size * each)[rank::world_size]
        return [rows.take(pa.array(share, pa.int64())) for share in mine]

    def _read(self, number: int) -> list[pa.Table]:
        """The rows of each batch of a bucket: views of one table."""
        bucket = self._buckets.slice(number, 1).to_pylist()[0]
        blocks = []
        for name, row_group in zip(bucket["files"], bucket["row_groups"], strict=True):
            filesystem, path = arrow_place(self._rows / name)
            with filesystem.open_input_file(path) as source:
                blocks.append(pq.ParquetFile(source).read_row_group(row_group))
        order = [row for batch in bucket["batches"] for row in batch]
        rows = pa.concat_tables(blocks).take(pa.array(order, pa.int64())).combine_chunks()
        tables, start = [], 0
        for batch in bucket["batches"]:
            tables.append(rows.slice(start, len(batch)))
            start += len(batch)
        return tables


def _told(plan: AnyPath) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((plan / PLAN).read_text())
    return told
