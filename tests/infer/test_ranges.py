"""Numbers outside of what training saw are counted, by feature."""

import math
from dataclasses import replace

import pytest
from rayrank.data.scale import Scale
from rayrank.infer.ranges import outside, ranges_of

from ..model.rows import SCHEMA, User, behaviour, candidate, table
from .bundles import USERS

NUMBERS = sorted(
    f"{group.token}.{name}"
    for group in SCHEMA.groups
    for name, feature in SCHEMA.features_of(group.token).items()
    if feature.kind == "number"
)


def with_numbers(elements: list[dict[str, object]], name: str, *values: float) -> list:
    return [element | {name: value} for element, value in zip(elements, values, strict=True)]


def test_every_value_that_is_not_inside_counts() -> None:
    shown = [candidate(2, seed) for seed in range(6)]
    values = (-2.0, 5.0, 5.1, -2.1, math.nan, math.inf)
    user = replace(USERS[0], candidates=with_numbers(shown, "distance", *values))
    ranges = {"candidate.distance": (-2.0, 5.0)}
    assert outside(table([user, user]), SCHEMA, ranges) == {"candidate.distance": 8}


def test_a_feature_of_which_all_are_inside_is_not_told() -> None:
    everywhere = dict.fromkeys(NUMBERS, (-1e9, 1e9))
    assert outside(table(USERS), SCHEMA, everywhere) == {}
    assert outside(table(USERS), SCHEMA, {}) == {}
    assert outside(table([]), SCHEMA, dict.fromkeys(NUMBERS, (1.0, 0.0))) == {}


def test_both_parts_of_a_sequence_and_the_profile_count() -> None:
    user = User(USERS[0].profile, [behaviour(-1, 1)], [behaviour(1, 2)], [candidate(2, 3)])
    assert outside(table([user]), SCHEMA, dict.fromkeys(NUMBERS, (1.0, 0.0))) == {
        "profile.income": 1,
        "views.watched": 2,
        "candidate.distance": 1,
        "candidate.ctr": 1,
    }


@pytest.mark.parametrize("end", [-math.inf, math.inf, math.nan])
def test_what_no_number_was_seen_of_has_no_range(end: float) -> None:
    scales = {
        "candidate.a": Scale(1.0, 2.0, -3.0, 4.0),
        "candidate.b": Scale(0.0, 1.0, end, 4.0),
        "label.watched": Scale(1.0, 2.0, -3.0, 4.0),
    }
    assert ranges_of(scales) == {"candidate.a": (-3.0, 4.0)}
