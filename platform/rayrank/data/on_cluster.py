"""Planned rows are read where the cluster has CPUs, by Ray Data, for workers that have few."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import ray.data
from ray.data import ExecutionOptions

from rayrank.data.planned import Part, read_part
from rayrank.storage import AnyPath, absolute, place

AT_ONCE = 4
"""Parts that are read for one worker at a time, at most."""
ROWS = "rows"


def read_on_cluster(rows: AnyPath, parts: list[Part]) -> Iterator[pa.Table]:
    """A `Reader` of `data.planned`: a task for each part, wherever Ray finds a CPU, a few of them
    ahead of who asks. What arrives keeps the order of the parts, whichever was read first."""
    if not parts:
        return
    numbers = ray.data.range(len(parts), override_num_blocks=len(parts))
    read = numbers.map_batches(
        _read,
        fn_args=(str(absolute(rows)), ray.put(parts)),
        batch_size=None,
        compute=ray.data.TaskPoolStrategy(size=min(AT_ONCE, len(parts))),
    )
    read.set_name("planned_rows")
    read.context.execution_options = ExecutionOptions(preserve_order=True)
    read.context.enable_progress_bars = False
    for block in read.iter_batches(batch_size=None, batch_format="pyarrow"):
        for stored in block[ROWS]:
            yield pa.ipc.open_stream(stored.as_buffer()).read_all()


def _read(numbers: dict[str, np.ndarray], rows: str, parts: Any) -> dict[str, list[bytes]]:
    # Whole batches as bytes: Ray Data cuts and joins blocks, and drops those without a row.
    wanted: list[Part] = ray.get(parts)
    read = [table for n in numbers["id"] for table in read_part(place(rows), wanted[n])]
    return {ROWS: [_stored(table) for table in read]}


def _stored(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return sink.getvalue().to_pybytes()
