"""Who is held out on a day: about the share that was asked for, others on another day, the same
whoever asks; and a plan of a part has exactly its rows."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rayrank.data.held_out import DayPart, Who, is_held_out
from rayrank.data.plan import Packing, plan_epochs
from rayrank.data.planned import PlannedBatches
from rayrank.errors import DataError

USERS = {
    "integers": pa.chunked_array([pa.array(range(7, 20_007), pa.int64())]),
    "strings": pa.chunked_array([pa.array([f"user-{n}" for n in range(20_000)])]),
}
ONE, OTHER = "2026-11-24", "2026-11-25"


@pytest.mark.parametrize("users", USERS.values(), ids=USERS)
@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
def test_about_a_share_is_held_out_anew_every_day(users: pa.ChunkedArray, share: float) -> None:
    one, other = (is_held_out(users, day, share) for day in (ONE, OTHER))
    error = 5 * (share * (1 - share) / len(users)) ** 0.5
    assert abs(one.mean() - share) < error
    # Independent of each other: both by chance alone.
    assert abs((one & other).mean() - share**2) < error
    assert np.array_equal(is_held_out(users.slice(5, 40), ONE, share), one[5:45])


def test_the_parts_of_a_day_are_all_of_it() -> None:
    parts = {who: DayPart(ONE, 0.3, who).picks(USERS["integers"]) for who in WHO}
    assert parts["all"].all()
    assert np.array_equal(parts["learned_from"], ~parts["held_out"])
    assert parts["held_out"].any()


WHO: tuple[Who, ...] = ("all", "learned_from", "held_out")


def write(rows: Path) -> dict[str, list[int]]:
    """Two days of users, in files of several row groups; day -> users."""
    found = {}
    for day, users in ((ONE, range(90)), (OTHER, range(60, 140))):
        (rows / day).mkdir(parents=True)
        table = pa.table(
            {
                "user": pa.array(users, pa.int64()),
                "tokens": pa.array([5 + user % 9 for user in users]),
                "visible_pairs": pa.array([user % 30 for user in users]),
            }
        )
        pq.write_table(table, rows / day / "part-00000.parquet", row_group_size=13)
        found[day] = list(users)
    return found


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("day", [ONE, OTHER])
def test_a_plan_of_a_part_has_its_rows_once_each(tmp_path: Path, day: str, who: Who) -> None:
    users = write(tmp_path / "train")[day]
    part = DayPart(day, 0.3, who)
    plan_epochs(tmp_path / "train", Packing(1, 2, 60.0, 0.01), tmp_path / "plan", part)
    picked = part.picks(pa.chunked_array([pa.array(users, pa.int64())]))
    expected = [user for user, is_picked in zip(users, picked, strict=True) if is_picked]
    assert who == "all" or 0 < len(expected) < len(users)
    for epoch in range(2):
        batches = PlannedBatches(tmp_path / "train", tmp_path / "plan", epoch)
        read = [rows for (rows,) in batches.deal(0, 1, 0)]
        found = [user for rows in read for user in rows["user"].to_pylist()]
        assert sorted(found) == expected
        assert max(batches.cost(n) for n in range(len(batches))) <= 60.0


def test_a_day_without_rows_is_told(tmp_path: Path) -> None:
    write(tmp_path / "train")
    part = DayPart("2026-11-26", 0.3, "learned_from")
    with pytest.raises(DataError, match="no user rows of 2026-11-26 to learn from"):
        plan_epochs(tmp_path / "train", Packing(1, 1, 60.0, 0.0), tmp_path / "plan", part)
