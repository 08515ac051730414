"""What tables may hold, as a person says it, in ids and rows."""

import pytest
from pydantic import ValidationError
from rayrank.embedding.budget import Rules, TableRules, TablesConfig, row_bytes, rules_of, widths_of
from rayrank.errors import ConfigError
from rayrank.schema import Table

TABLES = {
    "item": Table(dim=32, capacity=1000),
    "tag": Table(dim=8, capacity=300),
    "topic": Table(dim=8, capacity=100),
}


def test_a_row_is_its_vector_and_what_is_kept_of_its_id() -> None:
    # 32 floats, 4 of momentum; a key of 8, 2 for the table, 4 for the step, 4 sightings, 24 mapped.
    assert row_bytes(32) == 32 * 4 + 4 + 8 + 2 + 4 + 4 + 24


def test_a_table_has_rules_of_its_own() -> None:
    own = TableRules(capacity="64KiB", admit_after=1, time_to_live=9, priority=2)
    config = TablesConfig(admit_after=3, time_to_live=50, only={"item": own})
    rules = rules_of(TABLES, config)
    assert rules["item"] == Rules(65536 // row_bytes(32), 1, 9, 2)
    assert rules["tag"] == Rules(300, 3, 50, 0)


def test_tables_of_one_width_share_rows() -> None:
    narrow, wide = widths_of(TABLES, TablesConfig(), 1, new_ids=50)
    assert (narrow.dim, narrow.tables, narrow.rows) == (8, ("tag", "topic"), 400)
    assert (wide.dim, wide.tables, wide.rows) == (32, ("item",), 1000)


@pytest.mark.parametrize(
    ("budget", "rows"),
    [(None, (450, 1050)), (200, (250, 250)), ("20kB", (20_000 // 78 + 50, 20_000 // 174 + 50))],
)
def test_new_ids_have_rows_beside_the_budget(
    budget: int | str | None, rows: tuple[int, int]
) -> None:
    config = TablesConfig(budget=budget, evict="least_recent")
    assert tuple(width.rows for width in widths_of(TABLES, config, 1, new_ids=50)) == rows


def test_keys_are_not_dealt_quite_evenly() -> None:
    _, wide = widths_of(TABLES, TablesConfig(), 4, new_ids=0)
    assert wide.rows == 250 + 62 + 16


def test_rules_of_no_table() -> None:
    config = TablesConfig(only={"itme": TableRules(priority=1)})
    with pytest.raises(ConfigError, match=r"only\.itme: not a table .* item, tag, topic"):
        rules_of(TABLES, config)


def test_no_room_for_an_id() -> None:
    config = TablesConfig(only={"item": TableRules(capacity="173B")})
    with pytest.raises(ConfigError, match="173B is no room for an id, which takes 174 bytes"):
        rules_of(TABLES, config)


@pytest.mark.parametrize("told", ["64 bananas", 0, -5, "", "1.5", "0B", 2.5])
def test_what_is_no_amount(told: object) -> None:
    with pytest.raises(ValidationError):
        TablesConfig.model_validate({"budget": told})
