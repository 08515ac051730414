"""Where a log is cut, and how far it goes."""

import random
from pathlib import Path

import pytest
from rayrank.data.chunks import chunks_of
from rayrank.data.config import SplitConfig
from rayrank.data.survey import survey

from .builds import LOG, SCHEMA
from .logs import START, TYPES, Records, shown, write

pytestmark = pytest.mark.usefixtures("ray_cluster")


@pytest.mark.parametrize(
    ("valid", "test", "expected"),
    [
        (0.0, 0.25, [75, 0, 25]),
        (0.2, 0.25, [60, 15, 25]),
        (0.0, 0.0, [100, 0, 0]),
        (0.5, 0.0, [50, 50, 0]),
    ],
)
@pytest.mark.parametrize("apart_ms", [1, 50_000])
def test_splits_are_shares_in_time_order(
    tmp_path: Path, valid: float, test: float, expected: list[int], apart_ms: int
) -> None:
    """Within one minute, and over many; in files whose times interleave."""
    shuffled = [START + apart_ms * n for n in random.Random(1).sample(range(100), 100)]
    records = Records([shown(1, 1, time) for time in shuffled], LOG.events, LOG.users, LOG.items)
    log = write(tmp_path, {name: records.table(name) for name in TYPES}, files=3)
    share = SplitConfig(valid=valid, test=test)
    found = survey(log, SCHEMA, chunks_of(log, SCHEMA), share)
    first, second = found.split_times_ms
    split = [(time >= first) + (time >= second) for time in shuffled]
    assert [split.count(number) for number in range(3)] == expected
    assert found.exposures == 100
    assert found.last_ms == max(*shuffled, *(event["t"] for event in LOG.events))
