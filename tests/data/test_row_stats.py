"""The scales of numbers, of logs so short that they can be counted by hand."""

import json

import numpy as np
import pytest
from rayrank.data.partition import Cuts, build_rows
from rayrank.data.row_stats import RowStats, Spread, row_stats
from rayrank.data.scale import Scale
from rayrank.schema import Schema, Task

from .logs import DAY, HOUR, START, Records, shop_schema, shown

SCHEMA = shop_schema()


def stats(records: Records, test_from: int, schema: Schema = SCHEMA) -> RowStats:
    cuts = Cuts([test_from, test_from], complete_until=7)
    return row_stats(build_rows(records.tables(), schema, cuts.splits), schema, cuts, {})


ONE_DAY = [
    shown(1, 1, START + HOUR, watched=0.25, ctr=0.5),
    shown(1, 2, START + 2 * HOUR, watched=0.75, ctr=0.5),
    # Not yet known when the last candidate is shown; and the last one itself.
    shown(1, 3, START + 3 * HOUR, watched=99, ctr=0.125, k=START + 9 * HOUR),
    shown(1, 4, START + 4 * HOUR, watched=99, ctr=0.875),
    shown(2, 1, START + HOUR, watched=99, ctr=0.5),
]


def test_on_the_first_day_behaviours_are_scaled_by_those_of_the_day() -> None:
    """No user has a past yet, and training sees their behaviours all the same."""
    found = stats(Records(ONE_DAY), START + DAY)
    assert found.rows == 2
    assert found.numbers["views.watched"] == Spread(2, 1.0, 0.625, 0.25, 0.75)
    # What lies outside by more than all of them are apart counts as the edge.
    assert found.scales()["views.watched"] == Scale(0.5, 0.25, 0.25 - 0.5, 0.75 + 0.5)
    ctr = found.scales()["candidate.ctr"]
    assert (ctr.mean, ctr.low, ctr.high) == (0.5, 0.125 - 0.75, 0.875 + 0.75)
    assert ctr.deviation == pytest.approx((2 * 0.375**2 / 5) ** 0.5)


def test_yesterday_and_the_days_own_count_alike_and_test_rows_not_at_all() -> None:
    later = [
        shown(1, 1, START + DAY + HOUR, watched=1.5),
        shown(1, 1, START + DAY + 2 * HOUR, watched=99),
        shown(1, 1, START + 2 * DAY + HOUR, watched=-99),
        shown(1, 1, START + 2 * DAY + 2 * HOUR, watched=-99),
    ]
    day = [e | {"watched": 0.5 if e["watched"] == 99 else e["watched"]} for e in ONE_DAY]
    found = stats(Records([*day, *later]), START + 2 * DAY)
    assert found.rows_of_split == [3, 0, 1]
    # The first day's row: 0.25, 0.75. The second day's: all four before it, and 1.5 within it.
    assert found.numbers["views.watched"][:2] == (7, 0.25 + 0.75 + (0.25 + 0.75 + 1.0) + 1.5)


def test_a_number_that_never_varies_or_never_occurs_keeps_its_scale() -> None:
    found = stats(Records([shown(1, 1, START, ctr=0.25)]), START + DAY)
    assert found.scales()["candidate.ctr"] == Scale(0.25, 1.0, 0.25 - 1.0, 0.25 + 1.0)
    assert found.numbers["views.watched"] == Spread(0, 0.0, 0.0, None, None)
    assert found.scales()["views.watched"] == Scale(0.0, 1.0)


def test_spreads_add_up_whichever_saw_something() -> None:
    some, none = Spread.of(np.array([3.0, -1.0])), Spread.of(np.empty(0))
    assert some == Spread(2, 2.0, 10.0, -1.0, 3.0)
    assert some.and_of(none) == none.and_of(some) == some
    assert some.and_of(Spread.of(np.array([7.0]))) == Spread(3, 9.0, 59.0, -1.0, 7.0)
    read = RowStats.from_json(json.loads(json.dumps(RowStats(numbers={"a": some}).to_json())))
    assert read.numbers == {"a": some}


def test_labels_are_counted_and_told() -> None:
    shows = [shown(1, 1, START, click=1), shown(1, 1, START + HOUR), shown(1, 2, click=None)]
    found = stats(Records(shows), START + DAY)
    assert (found.positives, found.unknown) == ({"click": 1, "order": 0}, {"click": 1, "order": 2})
    assert found.labels_in_words() == {
        "click": "1 positive of 2, 1 not known",
        "order": "0 positive of 1, 2 not known",
    }
    number = SCHEMA.tasks | {"seconds": Task(kind="number", label="seconds")}
    shows = [shown(1, 1, seconds=2.5), shown(2, 1, seconds=0.5), shown(2, 2, seconds=None)]
    timed = stats(Records(shows), START + DAY, SCHEMA.model_copy(update={"tasks": number}))
    assert "seconds" not in timed.positives
    assert (timed.sums, timed.unknown["seconds"]) == ({"seconds": 3.0}, 1)
    assert timed.labels_in_words()["seconds"] == "mean 1.5 of 2, 1 not known"
    logs = timed.scales()["label.seconds"]
    assert logs.mean == pytest.approx((np.log(3.5) + np.log(1.5)) / 2)
    assert logs.deviation == pytest.approx((np.log(3.5) - np.log(1.5)) / 2)
    twice = RowStats.merge([timed, timed])
    assert (twice.sums, twice.labels_in_words()["seconds"][:8]) == ({"seconds": 6.0}, "mean 1.5")
    both = RowStats.merge([found, found])
    assert both.unknown == {"click": 2, "order": 4}
    assert both.complete_until() == "1970-01-01 00:00:00 UTC"
    assert both.complete_until_ms == 7
