"""Labels from events against a brute-force oracle."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rayrank.data.attribution import Outcomes, attribute
from rayrank.schema import Schema

from ..effort import examples
from . import reference
from .logs import START, Record, shop_schema

MINUTE = 60_000
TASKS: dict[str, Record] = {
    "of any exposure": {"buy": {"event": "buy", "within": "10m"}},
    "after a label": {
        "click": {"label": "click"},
        "buy": {"event": "buy", "within": "10m", "after": "click"},
    },
    "after an event": {
        "cart": {"event": "cart", "within": "10m"},
        "buy": {"event": "buy", "within": "5m", "after": "cart"},
    },
    "after an event after a label": {
        "click": {"label": "click"},
        "cart": {"event": "cart", "within": "10m", "after": "click"},
        "buy": {"event": "buy", "within": "5m", "after": "cart"},
    },
}


def schema_with(tasks: Record) -> Schema:
    without = ["features.click", "tables.outcome", "sequences.clicks", "sequences.buys"]
    tokens = {"features.i.tokens": ["views", "orders", "candidate"]}
    return shop_schema(dict.fromkeys(without) | tokens | {"tasks": tasks})


def exposure(
    user: int, item: int, minute: int, click: int | None = 1, known_after: int = 0
) -> Record:
    time = START + minute * MINUTE
    return {"u": user, "i": item, "t": time, "click": click, "k": time + known_after * MINUTE}


def event(user: int, item: int, minute: int, kind: str = "buy", ms: int = 0) -> Record:
    return {"u": user, "i": item, "t": START + minute * MINUTE + ms, "type": kind}


LATER = START + 1000 * MINUTE
"""Every window is over by then."""


def attributed(
    schema: Schema, exposures: list[Record], events: list[Record], complete_until: int = LATER
) -> Outcomes:
    def column(rows: list[Record], name: str) -> np.ndarray:
        return np.array([row[name] for row in rows], np.int64)

    return attribute(
        schema,
        column(exposures, "u"),
        column(exposures, "i"),
        column(exposures, "t"),
        Outcomes.of_columns(
            {"click": np.array([e["click"] for e in exposures], np.float32)},
            {"click": column(exposures, "k")},
        ),
        pd.DataFrame(
            {
                "user": column(events, "u"),
                "item": column(events, "i"),
                "time_ms": column(events, "t"),
                "type": [e["type"] for e in events],
            }
        ),
        complete_until,
    )


MINUTES = st.integers(0, 30)
EXPOSURES = st.lists(
    st.builds(
        exposure,
        st.integers(0, 1),
        st.integers(0, 1),
        MINUTES,
        st.sampled_from([0, 1, None]),
        st.integers(0, 3),
    ),
    max_size=12,
)
EVENTS = st.lists(
    st.builds(
        event,
        st.integers(0, 1),
        st.integers(0, 2),
        MINUTES,
        st.sampled_from(["buy", "cart", "other"]),
        st.integers(-1, 1),
    ),
    max_size=12,
)


@pytest.mark.parametrize("tasks", TASKS.values(), ids=TASKS)
@settings(deadline=None, max_examples=examples(80))
@given(exposures=EXPOSURES, events=EVENTS, complete_until=MINUTES)
def test_equal_the_oracle(
    tasks: Record, exposures: list[Record], events: list[Record], complete_until: int
) -> None:
    schema, until = schema_with(tasks), START + complete_until * MINUTE
    exposures = sorted(exposures, key=lambda e: e["t"])
    found = attributed(schema, exposures, events, until)
    for task, expected in reference.outcomes(schema, exposures, events, until).items():
        assert found.label[task].dtype == np.float32
        labels = [None if np.isnan(label) else label for label in found.label[task].tolist()]
        assert labels == [o.label for o in expected]
        assert found.happened[task].tolist() == [o.happened for o in expected]
        assert found.known_at[task].tolist() == [o.known_at for o in expected]


def one_task(tasks: str, exposures: list[Record], events: list[Record]) -> list[tuple[int, float]]:
    found = attributed(schema_with(TASKS[tasks]), exposures, events)
    known = (found.known_at["buy"] - START) / MINUTE
    return list(zip(found.label["buy"].astype(int).tolist(), known.tolist(), strict=True))


def test_the_last_touch_gets_it_and_a_negative_waits_for_its_window() -> None:
    shown = [exposure(1, 1, 0), exposure(1, 1, 4), exposure(1, 1, 8)]
    assert one_task("of any exposure", shown, [event(1, 1, 7)]) == [(0, 10), (1, 7), (0, 18)]


def test_the_window_ends_where_it_says() -> None:
    shown = [exposure(1, 1, 0)]
    assert one_task("of any exposure", shown, [event(1, 1, 10)]) == [(1, 10)]
    assert one_task("of any exposure", shown, [event(1, 1, 10, ms=1)]) == [(0, 10)]
    assert one_task("of any exposure", shown, [event(1, 1, 0)]) == [(1, 0)]
    assert one_task("of any exposure", shown, [event(1, 1, 0, ms=-1)]) == [(0, 10)]


def test_another_user_item_or_type_is_no_match() -> None:
    events = [event(2, 1, 1), event(1, 2, 1), event(1, 1, 1, "cart")]
    assert one_task("of any exposure", [exposure(1, 1, 0)], events) == [(0, 10)]


def test_a_positive_is_known_at_its_first_event() -> None:
    events = [event(1, 1, 6), event(1, 1, 3)]
    assert one_task("of any exposure", [exposure(1, 1, 0)], events) == [(1, 3)]


def test_after_a_label_only_its_positives_are_touched() -> None:
    shown = [exposure(1, 1, 0, click=1), exposure(1, 1, 4, click=0, known_after=2)]
    # What was not clicked is known not to be bought once the missing click is known.
    assert one_task("after a label", shown, [event(1, 1, 5)]) == [(1, 5), (0, 6)]


def test_after_a_label_the_clock_starts_when_it_was_known() -> None:
    """Shown at 0, known to be clicked at 8: ten minutes from then, and nothing before."""
    late = [exposure(1, 1, 0, known_after=8)]
    assert one_task("after a label", late, [event(1, 1, 17)]) == [(1, 17)]
    assert one_task("after a label", late, [event(1, 1, 19)]) == [(0, 18)]
    assert one_task("after a label", late, [event(1, 1, 7)]) == [(0, 18)]
    # Of two exposures the event goes to the click it can have come of, though it was shown first.
    shown = [exposure(1, 1, 0), exposure(1, 1, 4, known_after=8)]
    assert one_task("after a label", shown, [event(1, 1, 5)]) == [(1, 5), (0, 22)]


def test_after_an_event_the_clock_starts_there() -> None:
    events = [event(1, 1, 9, "cart"), event(1, 1, 13)]
    assert one_task("after an event", [exposure(1, 1, 0)], events) == [(1, 13)]
    assert one_task("after an event", [exposure(1, 1, 0)], events[:1]) == [(0, 14)]
    assert one_task("after an event", [exposure(1, 1, 0)], events[1:]) == [(0, 10)]


def labels(tasks: str, exposures: list[Record], events: list[Record], until: int) -> list[float]:
    found = attributed(schema_with(TASKS[tasks]), exposures, events, START + until * MINUTE)
    return [-1 if np.isnan(label) else label for label in found.label["buy"].tolist()]


def test_a_window_that_is_still_open_is_no_negative() -> None:
    shown = [exposure(1, 1, 0), exposure(1, 2, 5)]
    assert labels("of any exposure", shown, [], until=15) == [0, 0]
    assert labels("of any exposure", shown, [], until=14) == [0, -1]
    assert labels("of any exposure", shown, [], until=9) == [-1, -1]


def test_nor_is_what_came_early_a_positive_while_others_may_follow() -> None:
    """Were it one, the last minutes of a log would hold positives alone."""
    shown, bought = [exposure(1, 1, 0), exposure(1, 2, 5)], [event(1, 2, 6)]
    assert labels("of any exposure", shown, bought, until=14) == [0, -1]
    assert labels("of any exposure", shown, bought, until=15) == [0, 1]
    found = attributed(schema_with(TASKS["of any exposure"]), shown, bought, START + 14 * MINUTE)
    assert found.happened["buy"].tolist() == [False, True]  # and a behaviour all the same


def test_what_was_not_clicked_late_is_as_unknown_as_what_was() -> None:
    """Else the last minutes would hold negatives alone."""
    shown = [exposure(1, 1, 0, click=0), exposure(1, 2, 5, click=1), exposure(1, 3, 5, click=0)]
    assert labels("after a label", shown, [], until=14) == [0, -1, -1]
    assert labels("after a label", shown, [], until=15) == [0, 0, 0]


def test_after_an_unknown_label_nothing_is_known() -> None:
    assert labels("after a label", [exposure(1, 1, 0, click=None)], [], until=99) == [-1]
