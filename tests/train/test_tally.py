"""What is said of tables: when ids begin to go, and at the end of an epoch."""

from pathlib import Path

from rayrank.embedding.facts import TableFacts
from rayrank.train.tally import Tally

from . import telling


def facts(**of: int) -> TableFacts:
    told = {"ids": 90, "asked": 100, "inserted": 0, "refused": 0, "waiting": 0, "evicted": 0}
    return TableFacts(**(told | {"bytes": 900, "capacity": 100} | of))


def test_nothing_is_said_of_tables_that_have_room() -> None:
    tally = Tally()
    assert tally.add({"item": facts(inserted=5)}) is None
    assert tally.take() is None


def test_the_first_ids_that_go_are_said_at_once_and_once() -> None:
    tally = Tally()
    assert tally.add({"item": facts(), "tag": facts()}) is None
    said = tally.add({"item": facts(evicted=1234), "tag": facts(evicted=2)})
    assert said == "ids of tables begin to go (train.tables): 1,234 of item, 2 of tag"
    assert tally.add({"item": facts(evicted=7)}) is None


def test_an_epoch_is_summed_up() -> None:
    tally = Tally()
    tally.add({"item": facts(inserted=20, refused=30, evicted=4), "tag": facts()})
    tally.add(
        {"item": facts(ids=95, inserted=10, refused=10, waiting=6, evicted=3), "tag": facts()}
    )
    assert tally.take() == (
        "tables in this epoch: item: 95 ids of 100, 6 wait; 30 came, 7 went, "
        "20.0% of lookups got no row, 65.0% were there"
    )
    assert tally.take() is None, "said once"


def test_the_hit_rate_of_a_step_that_asks_for_nothing() -> None:
    assert facts(asked=0).hit_rate == 1
    assert facts(inserted=20, refused=30).hit_rate == 0.5


def test_what_tables_let_go_is_noted(tmp_path: Path) -> None:
    with telling.telling(tmp_path, telling.at(0)) as progress:
        told = telling.facts(1)
        gone = told.tables["item"]._replace(evicted=7)
        progress.step(telling.at(1), 2, told._replace(tables={"item": gone}), 0.0, {})
        progress.epoch(telling.at(1), {})
    assert [note.text.split(";")[0] for note in telling.read_story(tmp_path).notes] == [
        "ids of tables begin to go (train.tables): 7 of item",
        "tables in this epoch: item: 50 ids of 1,000, 5 wait",
    ]
