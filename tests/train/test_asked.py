"""Distinct ids of batches, against sets; batches are those of training's own plan."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rayrank.data.plan import plan_epochs
from rayrank.data.planned import PlannedBatches
from rayrank.data.row_stats import STATS, RowStats
from rayrank.errors import DataError
from rayrank.train import asked
from rayrank.train.asked import Dense, Distinct, asked_by, unions
from rayrank.train.config import RankerConfig
from rayrank.train.run import packing_of

from bench.engine_rows import ITEMS, SCHEMA
from bench.train_rows import write_rows


def config(**train: object) -> RankerConfig:
    return RankerConfig.model_validate(
        {"model": {"kind": "mtgr", "d_model": 32, "heads": 1}, "train": train}
    )


def rows_of(tokens: list[int], folder: Path) -> Path:
    write_rows(np.array(tokens), folder / "train")
    (folder / STATS).write_text(json.dumps(RowStats().to_json()))
    return folder


def items_in(rows: pa.Table) -> set[int]:
    groups = ("static_clicks", "realtime_clicks", "candidates")
    return {
        item
        for group in groups
        for of in rows[group].to_pylist()
        for item in ([e["item_id"] for e in of] if isinstance(of, list) else of["item_id"])
    }


@given(st.lists(st.sets(st.integers(0, 20)), min_size=4, max_size=4))
def test_unions_are_those_of_sets(batches: list[set[int]]) -> None:
    one, two, three, four = batches
    found = unions([np.array(sorted(of), np.int64) for of in batches])
    assert found == (
        sum(map(len, batches)) / 4,
        (len(one | two) + len(three | four)) / 2,
        len(one | two | three | four),
    )


def test_beyond_what_was_looked_at_ids_go_on_as_in_its_last_half() -> None:
    found = Distinct((10.0, 16.0, 20.0))
    assert [found.of(batches) for batches in (1, 2, 4)] == [10, 16, 20]
    # Two more batches brought 4 more.
    assert found.of(8) == 20 + 4 * 2
    assert found.of(1024) == 20 + 1020 * 2
    # Of one batch nothing is known of what it shares with others; all ids that are, stay all.
    assert Distinct((7.0,)).of(4) == 28
    assert Distinct((12.0, 12.0)).of(1024) == 12


def test_it_is_rather_too_many() -> None:
    drawn = np.random.default_rng(0).zipf(1.3, (64, 200)).clip(max=5000)
    batches = [np.unique(of) for of in drawn]
    whole, part = Distinct(unions(batches)), Distinct(unions(batches[:8]))
    assert whole.of(64) < part.of(64) < 64 * whole.of(1)


def test_one_batch_of_all_rows(tmp_path: Path) -> None:
    rows = rows_of([40] * 8, tmp_path)
    found = asked_by(SCHEMA, config(max_cost=10_000), rows)
    (file,) = (rows / "train").glob("*/*.parquet")
    assert (found.batches, found.looked_at, found.tokens) == (1, 1, 8 * 40)
    assert found.tables["item"].unions == (len(items_in(pq.read_table(file))),)
    assert found.forward_flops is not None
    assert found.forward_flops > 0


def test_batches_are_the_first_ones_of_trainings_plan(tmp_path: Path) -> None:
    rows = rows_of([30, 40, 50, 60] * 8, tmp_path / "rows")
    told = config(max_cost=200, epochs=3, seed=5)
    plan_epochs(rows / "train", packing_of(told), tmp_path / "plan")
    planned = PlannedBatches(rows / "train", tmp_path / "plan", epoch=0)
    sets = [items_in(of) for (of,) in planned.deal(0, 1, 0)][:8]
    assert 8 <= len(planned) < 16
    found = asked_by(SCHEMA, told, rows)
    assert (found.batches, found.looked_at) == (len(planned), 8)
    first, *_, last = found.tables["item"].unions
    assert first == sum(map(len, sets)) / 8
    assert last == len(set[int]().union(*sets)) < ITEMS


def test_no_more_batches_than_are_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked, "BATCHES", 3)
    found = asked_by(SCHEMA, config(max_cost=50), rows_of([40] * 8, tmp_path))
    assert (found.batches, found.looked_at) == (8, 2)


def test_ids_that_training_does_not_see_are_not_counted(tmp_path: Path) -> None:
    rows = rows_of([900] * 4, tmp_path)
    whole = asked_by(SCHEMA, config(max_cost=10_000), rows)
    part = asked_by(SCHEMA, config(max_cost=10_000, stochastic_length=1.2), rows)
    assert part.tables["item"].of(1) < whole.tables["item"].of(1)


def test_dense_parameters_are_the_models(tmp_path: Path) -> None:
    rows = rows_of([40] * 2, tmp_path)
    one, two = (
        asked_by(
            SCHEMA,
            RankerConfig.model_validate(
                {"model": {"kind": "mtgr", "d_model": 32, "heads": 1, "layers": layers}}
            ),
            rows,
        ).dense
        for layers in (1, 2)
    )
    # Four projections and one back, with their biases; two norms, of whose groups each has a gain
    # and a bias.
    layer = 5 * (32 * 32 + 32) + 2 * 2 * len(SCHEMA.groups) * 32
    assert two == Dense(one.numbers + layer, 2 * layer)


def test_no_rows(tmp_path: Path) -> None:
    (tmp_path / STATS).write_text(json.dumps(RowStats().to_json()))
    with pytest.raises(DataError, match="no user rows"):
        asked_by(SCHEMA, config(), tmp_path)
