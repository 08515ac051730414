"""Scores of test rows, and the quality made of them, counted out."""

import math
from collections import Counter
from itertools import combinations_with_replacement, pairwise
from typing import Any

import numpy as np
import pytest
import torch
from rayrank.data.jagged import to_jagged
from rayrank.evaluate.baselines import item_rate, read_candidates
from rayrank.metrics import Quality

from ..infer.bundles import trained
from ..metrics.pairs import pairs_won
from ..model.rows import SCHEMA
from .rows import user_row
from .runs import FILES, KINDS, Evaluated

Line = dict[str, Any]


def expected_lines(kind: str) -> list[Line]:
    """A line per candidate of the test rows, each row scored by itself in float64."""
    ranker, lines = trained(kind).double(), []
    for row in (user_row(*told) for file in FILES for told in file):
        with torch.no_grad():
            own_CK = ranker(to_jagged(row, SCHEMA)).double().sigmoid().numpy()
        (content,) = row.to_pylist()
        shown, labels = content["candidates"], content["labels"]
        lines += [
            {
                "user": content["user"],
                "window_start": content["window_start"],
                "time": shown["time"][i],
                "item": shown["item"][i],
                "history": 1,
                "label.click": labels["click"][i],
                "label.order": labels["order"][i],
                "p.click": pytest.approx(click, rel=1e-4),
                "p.order": pytest.approx(click * order_given_click, rel=1e-4),
            }
            for i, (click, order_given_click) in enumerate(own_CK.tolist())
        ]
    return lines


@pytest.mark.parametrize("kind", KINDS)
def test_every_candidate_is_scored_once_in_order_of_user_time_and_item(
    evaluated: Evaluated, kind: str
) -> None:
    expected = expected_lines(kind)
    keys = [(line["user"], line["time"], line["item"]) for line in expected]
    assert keys != sorted(keys)
    assert len(set(keys)) == len(keys) == 37
    ordered = sorted(expected, key=lambda line: (line["user"], line["time"], line["item"]))
    assert evaluated.scores(kind).to_pylist() == ordered


def test_one_can_watch(evaluated: Evaluated) -> None:
    done = [done for done, _ in evaluated.watched]
    assert {of for _, of in evaluated.watched} == {7}
    assert done.count(7) == len(KINDS)
    assert sum(later < earlier for earlier, later in pairwise(done)) == len(KINDS) - 1


def gauc(user: np.ndarray, label: np.ndarray, score: np.ndarray, times: np.ndarray) -> float:
    """The mean of the users' own AUCs, by exposures, each user taken so many times."""
    own = np.array([pairs_won(label[user == u], score[user == u]) for u in np.unique(user)])
    weight = times * np.unique(user, return_counts=True)[1] * ~np.isnan(own)
    return float(np.nansum(weight * own) / weight.sum()) if weight.any() else math.nan


def deviation(values: np.ndarray, chances: np.ndarray) -> float:
    """Standard deviation over the draws in which there is a value."""
    there = ~np.isnan(values)
    mean = np.average(values[there], weights=chances[there])
    return float(np.sqrt(np.average((values[there] - mean) ** 2, weights=chances[there])))


def numbers_of(quality: Quality) -> dict[str, float]:
    return {
        "auc": quality["auc"].value,
        "gauc": quality["gauc"].value,
        "auc_se": quality["auc"].standard_error,
        "gauc_se": quality["gauc"].standard_error,
    }


def expected_quality(user: np.ndarray, label: np.ndarray, score: np.ndarray) -> dict[str, Any]:
    """By counting pairs; errors from every way to draw six of six users, with its chance."""
    codes = np.unique(user, return_inverse=True)[1]
    draws, chances = [], []
    for drawn in combinations_with_replacement(range(6), 6):
        draws.append(np.bincount(drawn, minlength=6))
        orders = math.factorial(6)
        for times in Counter(drawn).values():
            orders //= math.factorial(times)
        chances.append(orders / 6**6)
    assert sum(chances) == pytest.approx(1)
    aucs = np.array([pairs_won(label, score, times[codes]) for times in draws])
    gaucs = np.array([gauc(user, label, score, times) for times in draws])
    return {
        "auc": pytest.approx(pairs_won(label, score)),
        "gauc": pytest.approx(gauc(user, label, score, np.ones(6))),
        "auc_se": pytest.approx(deviation(aucs, np.array(chances)), rel=0.04),
        "gauc_se": pytest.approx(deviation(gaucs, np.array(chances)), rel=0.04),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_rankers_quality_is_counted_out(evaluated: Evaluated, kind: str) -> None:
    scored = evaluated.scores(kind)
    user = np.array(scored["user"].to_pylist())
    found = evaluated.results.rankers[kind]
    assert {task: numbers_of(quality) for task, quality in found.items()} == {
        task: expected_quality(
            user, scored[f"label.{task}"].to_numpy(), scored[f"p.{task}"].to_numpy()
        )
        for task in ("click", "order")
    }
    # All users are known by one behaviour: a slice of them is everybody.
    for task, slices in evaluated.results.slices[kind].items():
        (everybody,) = slices
        assert everybody == ("1–9", 6, 37, found[task])


def test_the_numbers_are_apart(evaluated: Evaluated) -> None:
    """So that none of them can stand in another's place."""
    for quality in evaluated.results.rankers.values():
        numbers = sorted(n for of_task in quality.values() for n in numbers_of(of_task).values())
        assert min(b - a for a, b in pairwise(numbers)) > 1e-4


def test_a_baselines_quality_is_that_of_its_own_scores(evaluated: Evaluated) -> None:
    assert evaluated.results.baselines.keys() == {"item_rate", "lightgbm"}
    test = read_candidates(evaluated.rows, "test", SCHEMA)
    scores = item_rate(evaluated.rows, SCHEMA)
    for task, found in evaluated.results.baselines["item_rate"].items():
        label = test[f"label.{task}"].to_numpy()
        assert found["auc"].value == pytest.approx(pairs_won(label, scores[task]))


def test_everybody_is_compared_with_the_first(evaluated: Evaluated) -> None:
    assert evaluated.results.served == KINDS[0]
    served = evaluated.results.rankers[KINDS[0]]
    assert list(evaluated.results.differences) == [*KINDS[1:], "item_rate", "lightgbm"]
    for name, quality in evaluated.results.differences.items():
        own = evaluated.results.everyone[name]
        for task, difference in quality.items():
            for metric in ("auc", "gauc"):
                apart = own[task][metric].value - served[task][metric].value
                assert difference[metric].value == pytest.approx(apart)


def test_calibration_is_the_first_rankers_in_tenths(evaluated: Evaluated) -> None:
    """37 candidates, by probability: seven bins of four and three of three."""
    scored = evaluated.scores(KINDS[0]).to_pylist()
    for task in ("click", "order"):
        pairs = sorted((line[f"p.{task}"], line[f"label.{task}"]) for line in scored)
        bins = [pairs[4 * i : 4 * i + 4] for i in range(7)]
        bins += [pairs[28 + 3 * i : 31 + 3 * i] for i in range(3)]
        assert evaluated.results.calibration[task] == [
            pytest.approx((*np.mean(part, axis=0), len(part)), rel=1e-5) for part in bins
        ]
