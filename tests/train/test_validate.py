"""AUC and GAUC of two ranks together against every pair of all rows, scored in float64."""

import math
from itertools import chain, pairwise, product
from pathlib import Path

import pytest
import torch

from ..metrics.pairs import pairs_won
from ..model.rows import jagged
from .worlds import RANKS, VALID, Case, in_float64, saw

Cases = dict[str, Case]


@pytest.mark.parametrize("name", ["plain", "dropout"])
def test_metrics_are_those_of_all_rows_without_dropout(
    world: Path, cases: Cases, name: str
) -> None:
    last = [saw(world, name, rank)["after_validation"] for rank in RANKS]
    with torch.no_grad():
        logits_CK = in_float64(cases[name].config, last)(jagged(VALID)).double()
    click_C, order_given_click_C = logits_CK.sigmoid().unbind(1)
    expected = {}
    for task, p_C in (("click", click_C), ("order", click_C * order_given_click_C)):
        every = [[c[f"label.{task}"] for c in user.candidates] for user in VALID]
        parts = [part.tolist() for part in p_C.split([len(user.candidates) for user in VALID])]
        label = [[y for y in of_user if y in (0, 1)] for of_user in every]
        score = [
            [p for p, y in zip(*of_user, strict=True) if y in (0, 1)]
            for of_user in zip(parts, every, strict=True)
        ]
        assert sum(map(len, label)) < sum(map(len, every)), "some labels are unknown"
        own = [pairs_won(*of_user) for of_user in zip(label, score, strict=True)]
        counted = [(a, len(y)) for a, y in zip(own, label, strict=True) if not math.isnan(a)]
        assert 1 < len(counted) < len(VALID), "some users have one class, and do not count"
        expected[task] = {
            "auc": pytest.approx(pairs_won(list(chain(*label)), list(chain(*score)))),
            "gauc": pytest.approx(sum(a * n for a, n in counted) / sum(n for _, n in counted)),
        }
    for rank in RANKS:
        assert saw(world, name, rank)["metrics"] == expected


def test_no_two_of_those_numbers_are_alike(world: Path) -> None:
    """So that none can stand in another's place."""
    metrics = saw(world, "plain", 0)["metrics"]
    numbers = sorted(metrics[task][m] for task in metrics for m in ("auc", "gauc"))
    assert min(b - a for a, b in pairwise(numbers)) > 0.005


def test_validation_changes_nothing(world: Path, cases: Cases) -> None:
    """No weight, and no id of later data enters a table."""
    for name, rank in product(cases, RANKS):
        found = saw(world, name, rank)
        before, after = found["before_validation"], found["after_validation"]
        for part in ("dense", "adamw"):
            assert all(torch.equal(after[part][n], before[part][n]) for n in before[part])
        for table, rows in before["rows"].items():
            for field, value in vars(rows).items():
                assert torch.equal(getattr(after["rows"][table], field), value)


def test_without_rows_there_are_no_metrics(world: Path) -> None:
    assert saw(world, "plain", 0)["no_rows"] == {}
