"""Packed batches: whole rows, within budget, each once an epoch, dealt to any number of ranks."""

import random
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rayrank.data.pack_epochs import COMPLETE, pack_epochs
from rayrank.data.packing import PackedBatches, Packing, pack, row_costs
from rayrank.data.partition import build_rows
from rayrank.errors import DataError

from .logs import DAY, HOUR, START, Records, shop_schema, shown

PACKING = Packing(seed=5, epochs=2, max_cost=40, pair_cost=0.01)


@given(st.lists(st.integers(0, 20), max_size=40), st.integers(1, 30))
def test_pack_covers_all_rows_in_order_within_budget(costs: list[int], budget: int) -> None:
    batches = pack(np.array(costs, np.float64), budget)
    assert [row for batch in batches for row in batch.tolist()] == list(range(len(costs)))
    for number, batch in enumerate(batches):
        total = sum(costs[row] for row in batch)
        assert total <= budget or len(batch) == 1
        # Full: the next batch's first row would not have fitted.
        if number + 1 < len(batches):
            assert total + costs[batches[number + 1][0]] > budget


def test_the_cost_of_a_row() -> None:
    rows = pa.table({"tokens": [3, 10], "visible_pairs": [9, 60]})
    assert row_costs(rows, 0.0).tolist() == [3, 10]
    assert row_costs(rows, 0.5).tolist() == [7.5, 40]


def user_rows() -> pa.Table:
    rng = random.Random(3)
    log = Records(
        exposures=[
            shown(rng.randrange(25), rng.randrange(9), START + rng.randrange(72) * HOUR)
            for _ in range(300)
        ]
    )
    return build_rows(log.tables(), shop_schema(), [START + 9 * DAY] * 2).rows


ROWS = user_rows()
ALL = Counter(zip(ROWS["user"].to_pylist(), ROWS["window_start"].to_pylist(), strict=True))


def write(folder: Path, rows: pa.Table, files: int) -> Path:
    folder.mkdir()
    for number in range(files):
        part = rows.take(pa.array(range(number, len(rows), files), pa.int64()))
        pq.write_table(part, folder / f"{number}.parquet")
    return folder


def keys(rows: pa.Table) -> list[tuple[int, int]]:
    return list(zip(rows["user"].to_pylist(), rows["window_start"].to_pylist(), strict=True))


def epoch(out: Path, number: int, seed: int = 0) -> PackedBatches:
    return PackedBatches(out / f"epoch-{number}", seed)


def order(out: Path, number: int) -> list[list[tuple[int, int]]]:
    batches = epoch(out, number)
    return [keys(batches.rows(batch)) for batch in range(len(batches))]


@pytest.fixture(scope="module")
def packed(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed")
    pack_epochs(write(folder / "rows", ROWS, 1), PACKING, folder / "out")
    return folder / "out"


@pytest.mark.parametrize("number", [0, 1])
def test_every_row_is_in_every_epoch_once_and_whole(packed: Path, number: int) -> None:
    batches = epoch(packed, number)
    found = [batches.rows(batch) for batch in range(len(batches))]
    assert len(found) > 5
    together = pa.concat_tables(found)
    assert Counter(keys(together)) == ALL
    by_key = [("user", "ascending"), ("window_start", "ascending")]
    assert together.sort_by(by_key).equals(ROWS.sort_by(by_key).select(together.column_names))
    assert set(together.column_names) == set(ROWS.column_names)
    for rows in found:
        assert row_costs(rows, PACKING.pair_cost).sum() <= PACKING.max_cost or len(rows) == 1


def test_epochs_differ_in_what_stands_together(packed: Path) -> None:
    assert sorted(order(packed, 0)) != sorted(order(packed, 1))


def test_files_do_not_matter_and_seeds_do(packed: Path, tmp_path: Path) -> None:
    shuffled = ROWS.take(pa.array(random.Random(1).sample(range(len(ROWS)), len(ROWS))))
    rows = write(tmp_path / "rows", shuffled, 3)
    pack_epochs(rows, PACKING, tmp_path / "out")
    for number in range(2):
        assert order(tmp_path / "out", number) == order(packed, number)

    other = PACKING._replace(seed=6, epochs=1, max_cost=60)
    pack_epochs(rows, other, tmp_path / "other")
    assert sorted(path.name for path in (tmp_path / "other").iterdir()) == [COMPLETE, "epoch-0"]
    batches = order(tmp_path / "other", 0)
    assert Counter(key for batch in batches for key in batch) == ALL
    assert sorted(batches) != sorted(order(packed, 0))
    assert list(tmp_path.rglob("*writing-*")) == []


def test_whole_batches_are_left_and_cut_ones_packed_anew(packed: Path, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows", ROWS, 2)
    shutil.copytree(packed, tmp_path / "out")
    marker = stamp(tmp_path / "out")
    pack_epochs(rows, PACKING, tmp_path / "out")
    assert stamp(tmp_path / "out") == marker, "the same inputs were packed again"

    (tmp_path / "out" / COMPLETE).unlink()  # the last one to be written
    (tmp_path / "out" / "epoch-1" / "bucket-00000.arrow").write_bytes(b"half of it")
    pack_epochs(rows, PACKING, tmp_path / "out")
    assert (tmp_path / "out" / COMPLETE).exists()
    for number in range(2):
        assert order(tmp_path / "out", number) == order(packed, number)


def stamp(out: Path) -> dict[str, tuple[int, int]]:
    """Which files there are, by inode and time of writing."""
    return {
        str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in sorted(out.rglob("*"))
    }


@pytest.mark.parametrize("world_size", [1, 2, 3, 7, 100])
def test_ranks_share_every_batch_once_from_any_point(packed: Path, world_size: int) -> None:
    batches = epoch(packed, 0)
    all_batches = [keys(batches.rows(number)) for number in range(len(batches))]
    for done in (0, 1, len(batches) // 2, len(batches) - 1, len(batches)):
        dealt = [list(batches.deal(rank, world_size, done)) for rank in range(world_size)]
        steps = -(-(len(batches) - done) // world_size)
        assert {len(share) for share in dealt} == {steps}
        # Step by step over the ranks: the order of the epoch, then the empty ones.
        inorder = [dealt[rank][step] for step in range(steps) for rank in range(world_size)]
        left = len(batches) - done
        assert [keys(rows) for rows in inorder[:left]] == all_batches[done:]
        for rows in inorder[left:]:
            assert len(rows) == 0
            assert rows.schema == batches.rows(0).schema


def test_the_order_of_batches_is_a_function_of_the_seed(packed: Path) -> None:
    def batches(seed: int) -> list[list[tuple[int, int]]]:
        packed_batches = epoch(packed, 0, seed)
        return [keys(packed_batches.rows(number)) for number in range(len(packed_batches))]

    assert batches(1) == batches(1)
    assert batches(1) != batches(2)
    assert sorted(batches(1)) == sorted(batches(2))


def test_no_rows(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no user rows; run jobs/build_rows\.py first"):
        pack_epochs(tmp_path, PACKING, tmp_path / "out")
