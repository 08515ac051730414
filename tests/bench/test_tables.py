"""The benchmark of tables: every figure is there, those without a clock are what they are."""

import math
from pathlib import Path

import pytest
import torch

from bench.table_policies import POLICIES, config, table
from bench.tables import BOUNDS, Sizes, measure
from bench.tables import table as table_of_costs
from bench.tables_map import BATCH, everyone, zipf
from bench.tables_plain import step_over_plain


def test_every_figure_is_there() -> None:
    sizes = Sizes(ids=(200_000,), batches=3, distinct=300_000)
    result = measure(sizes, demo=None)
    of = result["ids"]["200000"]
    assert all(math.isfinite(of[name]) and of[name] > 0 for name in BOUNDS)
    assert of["bytes_per_id_over_payload"] < 1.5
    assert of["evicted_per_step"] > 10_000
    assert (result["distinct"]["collisions"], result["distinct"]["lost"]) == (0, 0)
    assert "0 collisions" in table_of_costs(result)


def test_popular_ids_come_as_often_as_they_should() -> None:
    keys = zipf(1000, 20)
    assert keys.shape == (20, BATCH)
    assert set(keys.unique().tolist()) <= set(everyone(1000).tolist())
    _, counts = keys.unique(return_counts=True)
    first, tenth = counts.sort(descending=True).values[[0, 9]].tolist()
    # A uniform exponent: the n-th has a share of log(1 + 1 / n) / log(1000).
    assert first / keys.numel() == pytest.approx(math.log(2) / math.log(1000), rel=0.02)
    assert tenth / first == pytest.approx(math.log(1.1) / math.log(2), rel=0.05)


def test_a_step_beside_plain_embeddings() -> None:
    found = step_over_plain(20_000, 2, torch.device("cpu"))
    assert all(math.isfinite(of) and of > 0 for of in found.values())


def test_policies_share_a_budget(tmp_path: Path) -> None:
    rankers = config(tmp_path, 400, 45).rankers
    assert list(rankers) == ["unlimited", *POLICIES]
    assert all(of.train.tables.budget == 45 for name, of in rankers.items() if name in POLICIES)


def test_a_table_of_policies_says_what_was_lost() -> None:
    tables = {"ids": 45, "inserted": 100, "evicted": 55, "refused": 0}
    found = {
        "unlimited": {"gauc": {"click": 0.8}, "tables": tables},
        "least_recent": {
            "gauc": {"click": 0.79},
            "gauc_less": {"click": [-0.01, 0.002]},
            "tables": tables,
        },
    }
    assert "0.7900 (-0.0100 ± 0.0020)" in table(found)
