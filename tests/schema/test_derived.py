"""What follows from a schema: groups, columns, and when things are known."""

import json

import pytest
from rayrank.schema import CANDIDATES, PROFILE, Schema

from ..changes import GONE, changed
from .test_schema import NUMBER, SOUND


def test_what_is_derived() -> None:
    schema = Schema.model_validate(changed(SOUND, "features.i.column", "item_number"))
    assert schema.column("i") == "item_number"
    assert schema.column("ctr") == "ctr"
    assert schema.outcome_known_at == {"click": "k", "watched": "k"}
    assert list(schema.features_of("views")) == ["i", "watched"]
    assert list(schema.features_of("candidate")) == ["i", "shared", "ctr"]
    assert list(schema.own_features_of("candidate")) == ["i", "ctr"]
    assert list(schema.features_of("profile")) == ["age"]
    assert schema.attributed == {"order"}
    assert schema.sequences["clicks"].keep == 3000


def test_groups_stand_in_the_order_of_a_row() -> None:
    schema = Schema.model_validate(SOUND)
    assert [group.name for group in schema.groups] == [
        "profile",
        "static_views",
        "static_clicks",
        "static_orders",
        "static_searches",
        "realtime_views",
        "realtime_clicks",
        "realtime_orders",
        "realtime_searches",
        "candidates",
    ]
    assert [group.token for group in schema.static] == list(schema.sequences)
    assert (PROFILE, *schema.static, *schema.realtime, CANDIDATES) == schema.groups


def test_a_sequence_is_known_with_what_it_carries_or_is_selected_by() -> None:
    content = changed(SOUND, "tasks.click.known_at", "clicked_at")
    schema = Schema.model_validate(content)
    # watched, of the outcomes, is known at k; the click by which clicks are selected at its own.
    assert schema.known_at_columns("views") == ["k"]
    assert schema.known_at_columns("clicks") == ["clicked_at"]
    assert schema.known_at_columns("orders") == []
    assert schema.known_at_columns("searches") == ["seen"]
    content["features"]["click"] = {"tokens": ["views"], "kind": "number"}
    assert Schema.model_validate(content).known_at_columns("views") == ["clicked_at", "k"]
    # Known when it was shown: what carries no outcome, and outcomes of which nothing is said.
    del content["features"]["click"], content["features"]["watched"]
    assert Schema.model_validate(content).known_at_columns("views") == []
    assert Schema.model_validate(changed(SOUND, "known_at", GONE)).known_at_columns("views") == []


def test_when_an_outcome_was_known_is_no_feature_of_a_candidate() -> None:
    content = changed(SOUND, "tasks.click.known_at", "clicked_at")
    content["features"]["clicked_at"] = NUMBER
    with pytest.raises(ValueError, match="column 'clicked_at' is known only after"):
        Schema.model_validate(content)


def test_the_widest_and_the_smallest_table_that_are_allowed() -> None:
    Schema.model_validate(changed(SOUND, "tables.item", {"dim": 1024, "capacity": 1}))
    Schema.model_validate(changed(SOUND, "tables.item", {"dim": 4}))


def test_the_user_itself_may_be_a_profile_feature() -> None:
    feature = {"tokens": ["profile"], "kind": "id", "table": "item"}
    Schema.model_validate(changed(SOUND, "features.u", feature))
    Schema.model_validate(changed(SOUND, "features.who", feature | {"column": "u"}))


@pytest.mark.parametrize(
    ("label", "comparison"),
    [
        ("rating >= 4", ("rating", ">=", 4.0)),
        ("rating>4.5", ("rating", ">", 4.5)),
        ("watched share<= -1", ("watched share", "<=", -1.0)),
        (" x != 0 ", ("x", "!=", 0.0)),
        ("x == 2", ("x", "==", 2.0)),
        ("x < 0.25", ("x", "<", 0.25)),
        ("rating", None),
    ],
)
def test_a_label_may_compare_its_column(label: str, comparison: object) -> None:
    content = changed(SOUND, "tasks.click.label", label)
    schema = Schema.model_validate(content)
    assert schema.tasks["click"].comparison == comparison
    column = comparison[0] if isinstance(comparison, tuple) else label
    assert schema.outcome_known_at == {"watched": "k", column: "k"}
    assert json.loads(schema.model_dump_json())["tasks"]["click"]["label"] == label


def test_what_a_label_compares_is_no_feature_of_a_candidate() -> None:
    content = changed(SOUND, "tasks.click.label", "rating >= 4")
    content["features"]["rating"] = NUMBER
    with pytest.raises(ValueError, match="column 'rating' is known only after"):
        Schema.model_validate(content)
