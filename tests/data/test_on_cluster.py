"""Rows that Ray Data reads, on a real cluster, are those a worker reads itself, in their order."""

from itertools import chain
from pathlib import Path

import pytest
from rayrank.data import plan
from rayrank.data.on_cluster import read_on_cluster
from rayrank.data.plan import plan_epochs
from rayrank.data.planned import PlannedBatches

from .test_plan import PACKING, write

pytestmark = pytest.mark.usefixtures("ray_cluster")


@pytest.fixture
def batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PlannedBatches:
    monkeypatch.setattr(plan, "BUCKET_ROWS", 12)
    plan_epochs(write(tmp_path / "rows"), PACKING, tmp_path / "plan")
    return PlannedBatches(tmp_path / "rows", tmp_path / "plan", 0)


@pytest.mark.parametrize(("rank", "world_size", "done", "each"), [(0, 1, 0, 1), (1, 3, 2, 2)])
def test_the_same_batches_bit_for_bit(
    batches: PlannedBatches, rank: int, world_size: int, done: int, each: int
) -> None:
    here = list(batches.deal(rank, world_size, done, each))
    there = list(batches.deal(rank, world_size, done, each, read_on_cluster))
    assert len({len(step) for step in here}) == 1 + (world_size > 1), "a last short step too"
    assert there == here
    for one, other in zip(chain(*there), chain(*here), strict=True):
        assert one.schema.equals(other.schema, check_metadata=True)


def test_a_rank_without_a_row_left_gets_an_empty_table(batches: PlannedBatches) -> None:
    last, many = len(batches) - 1, 50
    dealt = [list(batches.deal(rank, many, last, 1, read_on_cluster)) for rank in (0, many - 1)]
    assert [len(rows) for ((rows,),) in dealt] == [1, 0]


def test_nothing_is_left_to_read(batches: PlannedBatches) -> None:
    assert list(batches.deal(0, 1, len(batches), 1, read_on_cluster)) == []


def test_a_file_that_is_gone_is_told(batches: PlannedBatches, tmp_path: Path) -> None:
    next((tmp_path / "rows").glob("*/*.parquet")).unlink()
    with pytest.raises(Exception, match=r"part-00000\.parquet"):
        list(batches.deal(0, 1, 0, 1, read_on_cluster))
