"""A ranker's own view of a schema: what it leaves out, what cannot be left out, what stays."""

import pytest
from rayrank.data.build import days_made_from
from rayrank.data.config import DataConfig
from rayrank.data.jagged import to_jagged
from rayrank.data.log import Log
from rayrank.errors import ConfigError
from rayrank.schema import LossConfig, RankerSchema, Schema, ViewConfig
from rayrank.train.config import RankerConfig
from rayrank.train.run import config_made_from

from ..model.rows import SCHEMA, User, behaviour, candidate, features, table

USER = User(
    features(SCHEMA, "profile", 1),
    [behaviour(-3, 2), behaviour(-2, 3), behaviour(-1, 4, sequence="buys")],
    [behaviour(1, 5), behaviour(2, 6, sequence="buys")],
    [candidate(1, 7), candidate(3, 8)],
)
ROWS = table([USER, USER])
CROSSED: Schema = Schema.model_validate(
    SCHEMA.model_dump(mode="json", by_alias=True)
    | {
        "features": {
            **SCHEMA.model_dump(mode="json", by_alias=True)["features"],
            "city_item": {
                "tokens": ["candidate"],
                "kind": "cross",
                "of": ["city", "item_id"],
                "table": "small",
            },
        }
    }
)


def view(*without: str, **said: object) -> RankerSchema:
    return ViewConfig.model_validate({"without": list(without), **said}).of(SCHEMA)


def test_nothing_said_changes_nothing() -> None:
    """Not in what is written of it either, from which what was made before has its name."""
    plain = ViewConfig().of(SCHEMA)
    assert plain.model_dump_json() == SCHEMA.model_dump_json()
    assert "loss" not in SCHEMA.model_dump_json()
    assert plain.emptied == frozenset()
    assert not plain.losses()
    assert ViewConfig().in_words() == []


def test_a_feature_is_left_out_of_one_token() -> None:
    seen = view("candidate.price", "candidate.ctr", "profile.langs")
    assert seen.features["price"].tokens == ["views", "buys"]
    assert "ctr" not in seen.features
    assert "langs" not in seen.features_of("profile")
    batch = to_jagged(ROWS, seen)  # the rows hold more
    whole = to_jagged(ROWS, SCHEMA)
    assert batch.numbers(seen.groups[-1], "distance").equal(
        whole.numbers(SCHEMA.groups[-1], "distance")
    )
    with pytest.raises(KeyError):
        batch.numbers(seen.groups[-1], "ctr")


def test_a_sequence_is_left_out_and_a_table_that_nobody_asks_with_it() -> None:
    seen = view("views", "profile.langs", "candidate.tags")
    assert list(seen.sequences) == ["buys"]
    assert "watched" not in seen.features
    assert set(seen.tables) == {"item", "small"}
    batch = to_jagged(ROWS, seen)
    assert [batch.counts[group] for group in (*seen.static, *seen.realtime)] == [2, 2]


@pytest.mark.parametrize(("part", "left"), [("static", [0, 0, 2, 2]), ("realtime", [4, 2, 0, 0])])
def test_a_part_of_all_sequences_is_empty(part: str, left: list[int]) -> None:
    seen = view(part)
    assert seen.features == SCHEMA.features
    batch = to_jagged(ROWS, seen)
    assert [batch.counts[group] for group in (*seen.static, *seen.realtime)] == left
    assert batch.candidates == 4
    assert batch.lengths(seen.static[0]).tolist() == ([0, 0] if part == "static" else [2, 2])
    assert len(to_jagged(ROWS.slice(0, 0), seen).window_start) == 0
    # A worker is told it as JSON, and it says so still; a data set's schema cannot.
    assert RankerSchema.model_validate(seen.model_dump(mode="json")) == seen
    with pytest.raises(ValueError, match="empties"):
        Schema.model_validate(seen.model_dump(mode="json"))


def test_widths_and_losses_are_replaced() -> None:
    seen = view(embedding_dim=16, losses={"order": {"jrc": 0.5}})
    assert {table.dim for table in seen.tables.values()} == {16}
    assert {table.capacity for table in seen.tables.values()} == {256}
    assert seen.losses() == {"order": LossConfig(jrc=0.5)}
    own = SCHEMA.model_copy(update={"tasks": seen.tasks})
    assert not ViewConfig(losses={"order": LossConfig()}).of(own).losses()
    assert seen.losses_in_words() == ["order: the loss is 0.5 log-loss + 0.5 jrc"]


def test_a_view_of_a_view_is_that_view() -> None:
    """Whoever holds a config and a schema may ask, and nobody asks once too often."""
    seen = view("candidate.ctr")
    assert ViewConfig(without=["candidate.ctr"]).of(seen) is seen


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            {"without": ["candidate.crt"]},
            r"view\.without: no 'candidate\.crt'; there are candidate",
        ),
        ({"without": ["orders"]}, r"no 'orders'; there are buys, .*static, views"),
        ({"without": ["buys", "buys"]}, r"view\.without: 'buys' is named twice"),
        (
            {"losses": {"share": {}}},
            r"view\.losses: no binary task 'share'; there are click, order",
        ),
        (
            {"without": [f"buys.{name}" for name in ("item_id", "price", "paid")]},
            r"view: without buys\.item_id, .*sequences\.buys: no feature has it among its tokens",
        ),
        (
            {"without": ["candidate.item_id"]},
            r"view: without candidate\.item_id: .*city_item\.of: 'item_id' is not in every token",
        ),
        ({"without": ["profile.city"]}, r"city_item\.of: no feature 'city'"),
    ],
)
def test_what_cannot_be_is_said(said: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ViewConfig.model_validate(said).of(CROSSED)


def test_a_number_has_no_such_loss() -> None:
    content = SCHEMA.model_dump(mode="json", by_alias=True)
    content["tasks"] = {"watch": {"kind": "number", "label": "w", "loss": {"jrc": 0.1}}}
    with pytest.raises(ValueError, match="loss belongs to a binary task"):
        Schema.model_validate(content)


def test_it_is_told_in_words() -> None:
    told = ViewConfig(without=["candidate.ctr", "static", "buys"], embedding_dim=8).in_words()
    assert told == [
        "it reads without 2 of what rows hold: candidate.ctr, buys",
        "the static parts of all sequences are empty for it",
        "all its tables are 8 wide",
    ]


def test_rows_do_not_depend_on_a_loss_and_rankers_do() -> None:
    """Whoever says it. What says nothing has the name that it had before there were any."""
    content = SCHEMA.model_dump(mode="json", by_alias=True)
    content["tasks"]["click"]["loss"] = {"pairwise": 0.2}
    other = Schema.model_validate(content)
    data = DataConfig(source="simulate")
    plain, asked = (days_made_from(Log("x"), schema, data) for schema in (SCHEMA, other))
    assert plain == asked
    assert plain["schema"] == SCHEMA.model_dump(mode="json")

    def made_from(schema: Schema, **said: object) -> object:
        config = RankerConfig.model_validate({"model": {"kind": "dlrm"}, "view": said})
        return config_made_from(config, schema, None)

    of_plain = made_from(SCHEMA)
    assert isinstance(of_plain, dict)
    assert set(of_plain) == {"model", "train", "format"}
    assert made_from(other) != of_plain
    assert made_from(SCHEMA, losses={"click": {"pairwise": 0.2}}) == made_from(other)
    assert made_from(other, losses={"click": {}}) == of_plain
    assert made_from(SCHEMA, without=["candidate.ctr"]) != of_plain
