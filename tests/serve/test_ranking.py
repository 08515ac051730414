"""A formula over tasks ranks, and nothing but a formula is one."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rayrank.serve.errors import RequestError
from rayrank.serve.ranking import LONGEST, parse_ranking

from ..effort import examples

TASKS = ["click", "order"]
SCORES = {
    "click": np.array([0.5, 0.1, 0.4, 0.5], np.float32),
    "order": np.array([0.1, 0.9, 0.2, 0.1], np.float32),
}


def ranked(formula: str, top: int | None = None) -> tuple[list[int], list[float]]:
    order, values = parse_ranking({"formula": formula, "top": top}, TASKS).order(SCORES)
    return order.tolist(), values.tolist()


@pytest.mark.parametrize(
    ("formula", "order"),
    [
        ("click", [0, 3, 2, 1]),
        ("order", [1, 2, 0, 3]),
        ("-click", [1, 2, 0, 3]),
        ("click * order", [1, 2, 0, 3]),
        ("click + 3 * order", [1, 2, 0, 3]),
        ("click ** 2 * order ** 0.1", [0, 3, 2, 1]),
        ("(click - order) / 2", [0, 3, 2, 1]),
        ("1", [0, 1, 2, 3]),
    ],
)
def test_the_best_is_first_and_ties_stay(formula: str, order: list[int]) -> None:
    found, values = ranked(formula)
    assert found == order
    of = {task: scores.astype(np.float64) for task, scores in SCORES.items()}
    expected = eval(formula, {}, of) * np.ones(4)
    np.testing.assert_array_equal(values, expected[order])
    assert ranked(formula, 2) == (order[:2], values[:2])
    assert ranked(formula, 9) == (order, values)


@pytest.mark.parametrize(
    "formula",
    [
        "",
        "clicks",
        "click(",
        "click; order",
        "click if order else 1",
        "click < order",
        "click // order",
        "click % 2",
        "click @ order",
        "~click",
        "not click",
        "__import__('os')",
        "click.real",
        "click[0]",
        "[click]",
        "'a' * 3",
        "1j",
        "True",
        "lambda: 1",
        "(click := 1)",
        "f'{click}'",
        "click\x00",
        "(" * 99 + "click" + ")" * 90,
        "-" * 190 + "click" + " " * 20,
        None,
        5,
    ],
)
def test_what_is_no_formula_is_refused(formula: Any) -> None:
    with pytest.raises(RequestError) as caught:
        parse_ranking({"formula": formula}, TASKS)
    assert (caught.value.status, caught.value.field) == (422, "ranking.formula")
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    "formula", ["9 ** 9 ** 9", "click / 0", "(-click) ** 0.5", "1e999", "9**999"]
)
def test_what_gives_no_number_is_refused(formula: str) -> None:
    with pytest.raises(RequestError) as caught:
        ranked(formula)
    assert caught.value.message == "is no finite number for 4 of 4 candidates"


@pytest.mark.parametrize(
    ("told", "field"),
    [
        ([], "ranking"),
        ("click", "ranking"),
        ({}, "ranking.formula"),
        ({"formula": "click", "colour": 1}, "ranking.colour"),
        *(({"formula": "click", "top": top}, "ranking.top") for top in (0, -1, 1.5, "1", True)),
    ],
)
def test_what_is_no_ranking_is_refused(told: Any, field: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_ranking(told, TASKS)
    assert (caught.value.status, caught.value.field) == (422, field)


@settings(max_examples=examples(300), deadline=None)
@given(formula=st.text(st.sampled_from(list("clickorder0129.+-*/() ")), max_size=LONGEST))
def test_no_text_raises_anything_else(formula: str) -> None:
    try:
        order, values = parse_ranking({"formula": formula}, TASKS).order(SCORES)
    except RequestError:
        return
    assert sorted(order.tolist()) == [0, 1, 2, 3]
    assert (np.diff(values) <= 0).all()
