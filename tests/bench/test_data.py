"""The benchmark of building rows: both sides of it make the same ones."""

from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from rayrank.data.build import build
from rayrank.data.config import DataConfig
from rayrank.data.log import Log
from rayrank.data.row_files import row_files
from rayrank.schema import load_schema

from bench.data import measure
from bench.data_log import write_bench_log
from bench.data_polars import group

COLUMNS = {
    "city": ("profile", "city"),
    "age": ("profile", "age"),
    "category": ("candidates", "category"),
    "price": ("candidates", "price"),
    "label_click": ("labels", "click"),
    "label_order": ("labels", "order"),
    **{
        f"{part}_{name}.{column}": (f"{part}_{name}", column)
        for part in ("static", "realtime")
        for name in ("views", "clicks", "orders")
        for column in ("time", "known_at", "item_id", "category")
    },
}
"""Of Polars -> of a user row."""


def test_polars_makes_the_same_rows(ray_cluster: None, tmp_path: Path) -> None:
    write_bench_log(tmp_path / "log", 3000)
    group(tmp_path / "log", tmp_path / "polars")
    theirs = {
        (row["user_id"], row["window"]): row
        for row in pl.concat(
            [pl.read_parquet(f) for f in (tmp_path / "polars").iterdir()]
        ).to_dicts()
    }
    log, schema = Log(f"{tmp_path}/log"), load_schema(tmp_path / "log" / "schema.yaml")
    # All of it in one split, and known: Polars neither cuts a day in two nor masks a label.
    config = DataConfig.model_validate(
        {
            "source": "parquet",
            "path": log.root,
            "split": {"test": 0.0},
            "complete_until": "2026-12-01T00:00:00Z",
        }
    )
    build(log, schema, tmp_path / "rows", config, lambda done, of: None)
    files = row_files(tmp_path / "rows" / "train")
    ours = [row for file in files for row in pq.read_table(str(file)).to_pylist()]
    assert len(ours) == len(theirs) == 300
    for row in ours:
        their = theirs[row["user"], row["window_start"]]
        for name, (group_name, column) in COLUMNS.items():
            found = row[group_name][column]
            assert found == pytest.approx(their[name] if their[name] is not None else []), name


def test_the_benchmark_measures(ray_cluster: None, tmp_path: Path) -> None:
    """Its short form: what it says of a log of 3,000 exposures is no news, but it says it all."""
    found = measure(tmp_path, 3000)
    assert (found["exposures"], found["user_rows"]) == (3000, 300)
    assert found.keys() >= {"rows_and_plan_over_polars", "ray_peak_gib", "day_over_full"}
    assert all(value > 0 for value in found.values())
