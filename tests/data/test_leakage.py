"""No row knows its future: it is refused where the log says so, and impossible otherwise."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rayrank.data.partition import build_rows
from rayrank.errors import LeakageError
from rayrank.schema import Schema

from ..effort import examples
from .logs import DAY, HOUR, START, Record, Records, logs, ordered, searched, shop_schema, shown
from .reference import parts_of, unzipped

CUTS = [START + DAY, START + 2 * DAY]


@pytest.mark.parametrize(
    ("columns", "column"), [({"k": START + HOUR - 1}, "k"), ({"s": START + HOUR + 1}, "s")]
)
def test_a_row_that_knows_its_future_is_refused(columns: Record, column: str) -> None:
    log = Records(exposures=[shown(4), shown(77, 1, START + HOUR, **columns), shown(78)])
    with pytest.raises(LeakageError) as error:
        build_rows(log.tables(), shop_schema(), CUTS)
    assert f"column '{column}'" in str(error.value)
    assert "1 rows, the first of user 77" in str(error.value)


def test_what_was_known_before_it_happened_is_refused() -> None:
    log = Records([shown(4)], searches=[searched(4, 1, START), searched(4, 1, START, late=-1)])
    with pytest.raises(LeakageError, match=r"searches: column 'seen' says .* the first of user 4"):
        build_rows(log.tables(), shop_schema(), CUTS)


def test_known_or_computed_at_the_exposure_is_no_leak() -> None:
    build_rows(Records(exposures=[shown(1, 1, START + HOUR)]).tables(), shop_schema(), CUTS)


Seen = dict[tuple[int, int, int, int], list[Record]]


def seen_by_candidates(log: Records, schema: Schema, until: int) -> Seen:
    """Per user, window, split and time: each candidate shown by `until`, and all it may read."""
    built = build_rows(log.tables(), schema, CUTS)
    seen: Seen = {}
    for row, split in zip(built.rows.to_pylist(), built.split.tolist(), strict=True):
        for candidate in unzipped(row, "candidates"):
            time = candidate["time"]
            if time <= until:
                content = {
                    "candidate": candidate,
                    "profile": row["profile"],
                }
                content |= {part: unzipped(row, part) for part in parts_of(row, "static")}
                content |= {
                    part: [b for b in unzipped(row, part) if b["known_at"] < time]
                    for part in parts_of(row, "realtime")
                }
                key = (row["user"], row["window_start"], split, time)
                seen.setdefault(key, []).append(content)
    return seen


def another_future(log: Records, now: int, rng: random.Random) -> Records:
    """Later exposures and events deleted, altered, moved and added, and what was watched of
    earlier exposures but not known yet is something else; some of them are ordered now."""
    exposures, orders = [], []
    for e in log.exposures:
        if e["t"] <= now:
            exposures.append(e | ({"watched": rng.random()} if e["k"] > now else {}))
            if rng.random() < 0.5:
                orders.append(ordered(e["u"], e["i"], now + 1 + rng.randrange(HOUR)))
        elif rng.random() < 0.6:
            later = e["t"] + rng.randrange(3) * HOUR
            exposures.append(
                shown(
                    e["u"],
                    rng.randrange(4),
                    later,
                    k=later + rng.randrange(DAY),
                    click=rng.randrange(2),
                    ctr=rng.random(),
                    watched=rng.random(),
                    r=rng.randrange(10**6),
                )
            )
    events = [e for e in log.events if e["t"] <= now or rng.random() < 0.5]
    for _ in range(rng.randrange(4)):
        later = now + 1 + rng.randrange(3 * HOUR)
        events.append(ordered(rng.randrange(-1, 3), rng.randrange(4), later))
        request = rng.randrange(10**6)
        exposures.append(shown(rng.randrange(-1, 3), rng.randrange(4), later, click=1, r=request))
    searches = [s for s in log.searches if s["seen"] <= now or rng.random() < 0.5]
    searches += [searched(rng.randrange(-1, 3), 9, now, late=1 + rng.randrange(HOUR))]
    return Records(exposures, events + orders, log.users, log.items, searches)


@settings(deadline=None, max_examples=examples(150))
@given(
    logs(min_size=8, max_size=20, users=2), st.integers(0, 2**32 - 1), st.sampled_from(["r", None])
)
def test_nothing_after_a_moment_changes_a_candidate_up_to_it(
    log: Records, seed: int, request: str | None
) -> None:
    rng = random.Random(seed)
    now = rng.choice(log.exposures)["t"]
    # A long window: many outcomes are open at any moment.
    schema = shop_schema({"tasks.order.within": "12h", "request": request})
    # What is shown later belongs to later requests: else it were a candidate of this moment.
    for number, e in enumerate(log.exposures):
        e["r"] = e["r"] if e["t"] <= now else 10**6 + number
    before = seen_by_candidates(log, schema, now)
    after = seen_by_candidates(another_future(log, now, rng), schema, now)
    assert before == after


def test_a_candidate_has_only_its_own_columns() -> None:
    rows = build_rows(Records(exposures=[shown()]).tables(), shop_schema(), CUTS).rows
    fields = {field.name for field in rows.schema.field("candidates").type}
    assert fields == {"time", "item", "i", "cat", "tags", "price", "ctr"}
