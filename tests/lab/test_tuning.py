"""Which settings are tried."""

from collections import Counter
from typing import Any

import pytest
from rayrank.lab.config import changed
from rayrank.lab.tuning import draw_settings
from rayrank.train.config import RankerConfig

CONFIG = RankerConfig.model_validate({"model": {"kind": "mtgr"}, "train": {"epochs": 2}})
SEARCH: dict[str, list[Any]] = {
    "train.epochs": [1, 2, 3],
    "model.dropout": [0.0, 0.1],
    "view.losses": [{}, {"click": {"jrc": 0.5, "pairwise": 0.0}}],
}
ASIS = {"train.epochs": 2, "model.dropout": 0.0, "view.losses": {}}


@pytest.mark.parametrize("trials", [1, 4, 12])
def test_the_first_is_as_they_are_and_no_two_are_alike(trials: int) -> None:
    found = draw_settings(CONFIG, SEARCH, trials)
    assert found[0] == ASIS
    assert len(found) == trials
    assert all(found.count(one) == 1 for one in found)
    for changes in found:
        assert changed(CONFIG, changes).train.epochs == changes["train.epochs"]


def test_there_are_no_more_than_there_are() -> None:
    assert len(draw_settings(CONFIG, SEARCH, 100)) == 3 * 2 * 2
    assert draw_settings(CONFIG, {}, 5) == [{}]


def test_settings_beyond_what_is_searched_are_tried_too() -> None:
    found = draw_settings(CONFIG, {"train.epochs": [1, 3]}, 5)
    assert found[0] == {"train.epochs": 2}
    assert Counter(one["train.epochs"] for one in found) == {1: 1, 2: 1, 3: 1}


def test_draws_are_the_same_for_every_model() -> None:
    """That has the same keys: none is luckier."""
    other = RankerConfig.model_validate({"model": {"kind": "dlrm"}, "train": {"epochs": 2}})
    assert draw_settings(other, SEARCH, 8) == draw_settings(CONFIG, SEARCH, 8)
    assert draw_settings(CONFIG, SEARCH, 8) != [ASIS] * 8
