"""What users had done when a day began: their behaviours, as far as a row could still keep them.

rows/state/DAY/SEQUENCE/part-N.parquet      as data.behaviours says, by user, known_at, time
rows/state/DAY/complete                     written last
"""

from collections.abc import Mapping
from datetime import date

import numpy as np
import pyarrow as pa

from rayrank.data.parquet import write_parquet
from rayrank.schema import Schema
from rayrank.storage import (
    AnyPath,
    files_in,
    read_parquet,
    remove_folder,
    write_whole,
    writing_file,
)

STATE, COMPLETE = "state", "complete"
STATE_ROWS = 1 << 17
"""Of a row group."""
KEPT = 3
"""The newest states that stay; whoever wants an older day again builds from the log's beginning."""


def states(rows: AnyPath) -> list[date]:
    """The days whose state is there, ascending."""
    found = files_in(rows / STATE, f"*/{COMPLETE}")
    return sorted(date.fromisoformat(path.parent.name) for path in found)


def read_state(rows: AnyPath, day: date, part: str, schema: Schema) -> dict[str, pa.Table]:
    """Of every sequence the behaviours of one partition's users before a day."""
    folder = rows / STATE / str(day)
    return {name: read_parquet(folder / name / f"{part}.parquet") for name in schema.sequences}


def write_state(
    behaviours: Mapping[str, pa.Table],
    schema: Schema,
    rows: AnyPath,
    day: date,
    start_ms: int,
    part: str,
) -> None:
    """Keep what happened before a day that starts at start_ms."""
    for name, table in behaviours.items():
        with writing_file(rows / STATE / str(day) / name / f"{part}.parquet") as file:
            write_parquet(until(table, start_ms, schema.sequences[name].keep), file, STATE_ROWS)


def until(behaviours: pa.Table, start_ms: int, keep: int) -> pa.Table:
    """What happened before start_ms: of each user the `keep` most recent that were known by then,
    and all that were known later."""
    behaviours = behaviours.filter(pa.array(behaviours["time"].to_numpy() < start_ms))
    user, known_at = behaviours["user"].to_numpy(), behaviours["known_at"].to_numpy()
    order = np.lexsort((behaviours["time"].to_numpy(), known_at, user))
    user, known_at = user[order], known_at[order]
    # How many of the user's that were known by then stand behind each, itself included.
    known = known_at < start_ms
    behind = np.cumsum(known[::-1])[::-1]
    last = np.searchsorted(user, user, side="right")
    of_others = np.append(behind, 0)[last]
    kept = ~known | (behind - of_others <= keep)
    return behaviours.take(pa.array(order[kept]))


def finish_state(rows: AnyPath, day: date) -> None:
    """Say that every partition's part of a state is there; older ones beyond `KEPT` go."""
    write_whole(rows / STATE / str(day) / COMPLETE, "")
    for old in states(rows)[:-KEPT]:
        remove_folder(rows / STATE / str(old))
