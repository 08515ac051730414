"""Planned batches: whole rows, within budget, each once an epoch, dealt to any number of ranks."""

import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rayrank.data import plan
from rayrank.data.packing import row_costs
from rayrank.data.partition import build_rows
from rayrank.data.plan import BUCKET_ROWS, LANES, PLAN, Block, Packing, plan_epoch, plan_epochs
from rayrank.data.planned import (
    Part,
    PlannedBatches,
    batches_of_epochs,
    read_part,
    rows_beyond,
)
from rayrank.errors import DataError
from rayrank.storage import AnyPath

from .logs import DAY, HOUR, START, Records, shop_schema, shown

PACKING = Packing(seed=5, epochs=2, max_cost=40, pair_cost=0.01)


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


@pytest.fixture(autouse=True)
def small_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that some seventy rows make more buckets than are open at a time."""
    monkeypatch.setattr(plan, "BUCKET_ROWS", 12)
    monkeypatch.setattr(plan, "LANES", 3)


def write(folder: Path) -> Path:
    for number in range(3):
        day = folder / f"2022-04-1{number}"
        day.mkdir(parents=True)
        part = ROWS.take(pa.array(range(number, len(ROWS), 3), pa.int64()))
        pq.write_table(part, day / "part-00000.parquet", row_group_size=5)
    return folder


def keys(rows: pa.Table) -> list[tuple[int, int]]:
    return list(zip(rows["user"].to_pylist(), rows["window_start"].to_pylist(), strict=True))


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, Path]:
    rows, out = write(tmp_path / "rows"), tmp_path / "out"
    plan_epochs(rows, PACKING, out)
    return rows, out


def order(made: tuple[Path, Path], epoch: int) -> list[list[tuple[int, int]]]:
    return [keys(rows) for rows in in_order(made, epoch)]


def in_order(made: tuple[Path, Path], epoch: int) -> list[pa.Table]:
    """What a rank that is alone trains on."""
    return [rows for (rows,) in PlannedBatches(*made, epoch).deal(0, 1, 0)]


@pytest.mark.parametrize("epoch", [0, 1])
def test_every_row_is_in_every_epoch_once_and_whole(made: tuple[Path, Path], epoch: int) -> None:
    batches = PlannedBatches(*made, epoch)
    found = in_order(made, epoch)
    assert len(found) == batches_of_epochs(made[1])[epoch] > 5
    together = pa.concat_tables(found)
    assert Counter(keys(together)) == ALL
    by_key = [("user", "ascending"), ("window_start", "ascending")]
    assert together.sort_by(by_key).equals(ROWS.sort_by(by_key).select(together.column_names))
    assert set(together.column_names) == set(ROWS.column_names)
    # In tokens that cost as much as those of all rows do on average.
    average = row_costs(ROWS, PACKING.pair_cost).sum() / row_costs(ROWS, 0.0).sum()
    assert average > 1
    for number, rows in enumerate(found):
        cost = row_costs(rows, PACKING.pair_cost).sum() / average
        assert cost <= PACKING.max_cost or len(rows) == 1
        assert batches.cost(number) == pytest.approx(cost)


def test_epochs_and_seeds_differ_in_what_stands_together(made: tuple[Path, Path]) -> None:
    together = {frozenset(batch) for batch in order(made, 0)}
    assert len(together & {frozenset(batch) for batch in order(made, 1)}) < len(together) / 2
    rows, out = made
    plan_epochs(rows, PACKING._replace(seed=6, epochs=1), out.with_name("other"))
    other = order((rows, out.with_name("other")), 0)
    assert Counter(key for batch in other for key in batch) == ALL
    assert len(together & {frozenset(batch) for batch in other}) < len(together) / 2


def test_neighbours_come_from_different_days(made: tuple[Path, Path]) -> None:
    days = [{window for _, window in batch} for batch in order(made, 0)]
    assert sum(len(found) > 1 for found in days) > len(days) / 2


def test_the_same_rows_are_planned_alike_and_once(made: tuple[Path, Path]) -> None:
    rows, out = made
    again = out.with_name("again")
    plan_epochs(rows, PACKING, again)
    assert contents(again) == contents(out)
    before = (out / "epoch-0.arrow").stat().st_mtime_ns
    plan_epochs(rows, PACKING, out)
    assert (out / "epoch-0.arrow").stat().st_mtime_ns == before, "was planned again"

    shutil.rmtree(again)
    shutil.copytree(out, again)
    (again / PLAN).unlink()  # the last one to be written
    (again / "epoch-1.arrow").write_bytes(b"half of it")
    plan_epochs(rows, PACKING, again)
    assert contents(again) == contents(out)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(("world_size", "each"), [(1, 1), (2, 1), (3, 4), (7, 2), (20, 1)])
def test_ranks_share_every_batch_once_from_any_point(
    made: tuple[Path, Path], world_size: int, each: int
) -> None:
    all_batches = order(made, 0)
    number, of_step = len(all_batches), world_size * each
    for done in (0, 1, number // 2, number - 1, number):
        batches = PlannedBatches(*made, 0)
        dealt = [list(batches.deal(rank, world_size, done, each)) for rank in range(world_size)]
        steps = -(-(number - done) // of_step)
        assert {len(share) for share in dealt} == {steps}
        # Step by step over the ranks: the order of the epoch, then what is left, shared.
        whole = (number - done) // of_step
        inorder = [
            dealt[rank][step][k]
            for step in range(whole)
            for k in range(each)
            for rank in range(world_size)
        ]
        assert [keys(rows) for rows in inorder] == all_batches[done : done + whole * of_step]
        last = [dealt[rank][step] for step in range(whole, steps) for rank in range(world_size)]
        left = [key for batch in all_batches[done + whole * of_step :] for key in batch]
        assert Counter(key for mine in last for rows in mine for key in keys(rows)) == Counter(left)
        # As many batches for every rank, which all take part: no more than hold what is left.
        fewest = -(-((number - done) % of_step) // world_size)
        assert {len(mine) for mine in last} <= {fewest}
        for rows in (rows for mine in last for rows in mine):
            assert rows.schema == in_order(made, 0)[0].schema


def test_a_rank_reads_of_every_bucket_once_what_it_needs(made: tuple[Path, Path]) -> None:
    asked: list[Part] = []

    def read(rows: AnyPath, parts: list[Part]) -> Iterator[pa.Table]:
        for part in parts:
            asked.append(part)
            yield from read_part(rows, part)

    batches = PlannedBatches(*made, 0)
    steps = [rows for (rows,) in batches.deal(1, 2, 0, read=read)]
    wanted = -(-len(batches) // 2)  # the last one may be shared
    assert sum(len(part.batches) for part in asked) == len(steps) == wanted
    blocks = [(f, g) for part in asked for f, g in zip(part.files, part.row_groups, strict=True)]
    assert len(set(blocks)) == len(blocks) > 5, "a row group is read twice"

    asked.clear()
    begun = batches.deal(0, 1, 0, read=read)
    assert not asked
    next(begun)
    assert len(asked) == 1, "what is not due yet is not read yet"


def test_the_last_short_step_is_shared_alike(made: tuple[Path, Path]) -> None:
    """Two batches that are left are three ranks' work: none costs a row more than another."""
    batches = PlannedBatches(*made, 0)
    world_size = 3
    while len(batches) % world_size != 2:
        world_size += 1
    last = [list(batches.deal(rank, world_size, 0))[-1] for rank in range(world_size)]
    costs = [row_costs(rows, PACKING.pair_cost) for (rows,) in last]
    dearest = max(cost.max() for cost in costs if len(cost))
    loads = [cost.sum() for cost in costs]
    assert max(loads) - min(loads) <= dearest


@given(st.lists(st.integers(1, 6), min_size=1, max_size=12))
def test_buckets_take_turns(counts: list[int]) -> None:
    turns = list(plan.take_turns(counts))
    assert Counter(turns) == Counter((b, k) for b in range(len(counts)) for k in range(counts[b]))
    for bucket in range(len(counts)):
        assert [k for b, k in turns if b == bucket] == list(range(counts[bucket]))
    left = dict(enumerate(counts))
    begun: set[int] = set()
    for bucket, _ in turns:
        begun.add(bucket)
        left[bucket] -= 1
        # Begun and not through: what a reader holds.
        assert sum(left[b] > 0 for b in begun) <= plan.LANES


def test_a_plan_takes_two_bytes_a_row() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.lognormal(5, 1, 1 << 17).clip(10, 3000)
    blocks = [
        Block(
            f"2026-11-{1 + n % 30}/part-{n:05d}.parquet",
            0,
            int(part.sum()),
            part,
            np.arange(len(part)),
            len(part),
        )
        for n, part in enumerate(np.split(lengths, 256))
    ]
    packing = Packing(seed=0, epochs=1, max_cost=16_384, pair_cost=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "BUCKET_ROWS", BUCKET_ROWS)
        buckets = plan_epoch(blocks, packing, 0)
    assert buckets.nbytes < 2.5 * len(lengths)
    costs = np.concatenate(buckets["costs"].to_pylist())
    assert costs.max() / costs.mean() < 1.02
    assert LANES == 8


def test_rows_that_cost_more_than_a_batch_may_are_told(made: tuple[Path, Path]) -> None:
    rows, out = made
    costs = row_costs(ROWS, PACKING.pair_cost)
    costs = costs * (row_costs(ROWS, 0.0).sum() / costs.sum())
    budget = float(np.sort(costs)[-4])  # three cost more
    plan_epochs(rows, PACKING._replace(max_cost=budget), out.with_name("other"))
    told = rows_beyond(out.with_name("other"))
    assert told is not None
    assert told.startswith(f"3 rows cost more than train.max_cost ({budget:,.0f}), the dearest ")
    plan_epochs(rows, PACKING._replace(max_cost=1e6), out.with_name("wide"))
    assert rows_beyond(out.with_name("wide")) is None


def test_no_rows(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no user rows; run jobs/build_rows\.py first"):
        plan_epochs(tmp_path, PACKING, tmp_path / "out")
