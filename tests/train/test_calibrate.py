"""A calibration finds what tokens and pairs cost, and says where rows cannot tell."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rayrank.data.row_stats import STATS, RowStats
from rayrank.errors import DataError
from rayrank.train.calibrate import calibrate, fit
from rayrank.train.config import RankerConfig

from bench.engine_rows import SCHEMA
from bench.train_rows import write_rows

CPU = torch.device("cpu")
TINY = RankerConfig.model_validate(
    {"model": {"kind": "mtgr", "d_model": 32, "heads": 1}, "train": {"max_cost": 800}}
)


@given(st.floats(1e-9, 1e-3), st.floats(1e-6, 1.0))
def test_costs_that_are_so_are_found(token_s: float, pair_cost: float) -> None:
    tokens = np.array([1000.0, 1000.0, 900.0, 1200.0])
    pairs = tokens * np.array([50.0, 200.0, 700.0, 1500.0])
    found = fit(tokens, pairs, token_s * (tokens + pair_cost * pairs), by_flops=0.5)
    assert found.pair_cost == pytest.approx(pair_cost, rel=1e-4)
    assert found.token_us == pytest.approx(1e6 * token_s, rel=1e-4)
    assert found.off_by < 1e-6
    assert found.by_flops == 0.5


def test_pairs_that_seem_to_save_time_cost_nothing() -> None:
    tokens, pairs = np.array([100.0, 100.0, 100.0]), np.array([1e3, 5e3, 9e3])
    found = fit(tokens, pairs, np.array([1.2, 1.0, 1.0]), by_flops=0.0)
    assert found.pair_cost == 0
    # 1 / (the mean of 1/t^2 over the mean of 1/t), by hand.
    assert found.token_us == pytest.approx(1e4 * (1 / 1.2 + 2) / (1 / 1.44 + 2))
    assert found.off_by > 0.05


def rows_of(tokens: list[int], folder: Path) -> Path:
    write_rows(np.array(tokens), folder / "train")
    (folder / STATS).write_text(json.dumps(RowStats().to_json()))
    return folder


def test_rows_are_timed(tmp_path: Path) -> None:
    found = calibrate(SCHEMA, TINY, rows_of([40] * 60 + [700] * 4, tmp_path), CPU)
    assert found.pair_cost >= 0
    assert found.token_us > 0
    assert found.by_flops == TINY.model.pair_in_tokens() > 0


def test_rows_that_are_alike_tell_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"see alike much.*leave train\.pair_cost at null"):
        calibrate(SCHEMA, TINY, rows_of([100] * 40, tmp_path), CPU)


def test_no_rows(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no user rows"):
        calibrate(SCHEMA, TINY, tmp_path, CPU)
