"""User rows whose lengths have a long tail, as they are on disk: 600 tokens on average, 3,000 at
most."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.engine_rows import REALTIME, row

LONGEST = 3000
SIGMA = 1.0
"""Of the lengths' logarithm: the mean is 600 where the median is 364, before the tail is cut."""
PART_ROWS = 256
"""A row group: what a build writes of so few users."""


def long_tailed(users: int, seed: int) -> np.ndarray:
    """int64 [users] tokens of each."""
    drawn = np.random.default_rng(seed).lognormal(np.log(364), SIGMA, users)
    return drawn.clip(30, LONGEST).round().astype(np.int64)


def pairs_of(tokens: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """int64 [users]: what the mask leaves where profile and history are seen by all, and of some
    behaviours of the window each one sees those before it, and candidates all of them."""
    static = tokens - REALTIME - candidates
    among = REALTIME * (REALTIME + 1) // 2 + candidates * (REALTIME + 1)
    return tokens * static + among


def candidates_of(tokens: np.ndarray) -> np.ndarray:
    """int64 [users]: a tenth of what each has."""
    return np.maximum(1, tokens // 10)


def write_costs(tokens: np.ndarray, folder: Path) -> None:
    """Rows as far as a plan and the deal read them: their costs, and who each is."""
    rows = pa.table(
        {
            "user": pa.array(np.arange(len(tokens))),
            "tokens": pa.array(tokens),
            "visible_pairs": pa.array(pairs_of(tokens, candidates_of(tokens))),
        }
    )
    _write(rows, folder)


def write_rows(tokens: np.ndarray, folder: Path) -> None:
    """Whole rows."""
    candidates = candidates_of(tokens)
    tables = [
        row(user, int(length - REALTIME - 1 - shown), int(shown))
        for user, (length, shown) in enumerate(zip(tokens, candidates, strict=True))
    ]
    rows = pa.concat_tables(tables).combine_chunks()
    place = rows.schema.get_field_index("visible_pairs")
    pairs = pa.array(pairs_of(tokens, candidates))
    _write(rows.set_column(place, "visible_pairs", pairs), folder)


def _write(rows: pa.Table, folder: Path) -> None:
    day = folder / "2026-10-01"
    day.mkdir(parents=True)
    pq.write_table(rows, day / "part-00000.parquet", row_group_size=PART_ROWS)
