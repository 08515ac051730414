"""What a task reads is known from footers: its rows, and how large they come out."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rayrank.data import chunks
from rayrank.data.chunks import chunks_of
from rayrank.data.log import Log
from rayrank.schema import Schema

ROWS = 4000
SCHEMA = Schema.model_validate(
    {
        "name": "shown",
        "user": "user",
        "item": "item",
        "time": "time",
        "features": {"rate": {"tokens": ["candidate"], "kind": "number"}},
        "tasks": {"click": {"label": "click"}},
    }
)
READ = ("user", "item", "time", "rate", "click")


def test_a_chunk_is_as_large_as_the_values_that_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one user and item: what repeats is next to nothing in a file, and 8 bytes a value read."""
    columns = {name: np.ones(ROWS, np.int64) for name in (*READ, "unread")}
    columns["time"] = 1_600_000_000_000 + np.arange(ROWS)
    (tmp_path / "exposures").mkdir()
    file = tmp_path / "exposures" / "a.parquet"
    pq.write_table(pa.table(columns), file, row_group_size=1000)
    log = Log(str(tmp_path))
    (whole,) = chunks_of(log, SCHEMA)
    assert (whole.rows, whole.row_groups) == (ROWS, [0, 1, 2, 3])
    assert whole.bytes == pytest.approx(8 * ROWS * len(READ), rel=0.05)
    monkeypatch.setattr(chunks, "CHUNK_BYTES", whole.bytes // 2)
    parts = [(part.first_row, part.row_groups) for part in chunks_of(log, SCHEMA)]
    assert parts == [(0, [0, 1]), (2000, [2, 3])]
