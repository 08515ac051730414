"""Ranking by a formula over tasks, such as `click * order ** 0.5`, and the first so many.

"ranking": {"formula": "click + 3 * order", "top": 20}
"""

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rayrank.serve.errors import RequestError

LONGEST = 200
"""Characters of a formula."""

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}


@dataclass(frozen=True)
class Ranking:
    """What a request wants of its scores."""

    formula: ast.expr
    top: int | None
    """All, where None."""

    def order(self, scores: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Of scores [candidates] by task: which candidates, the best first, int64 [ranked], and
        their values, float64 [ranked]. What is equal stays in order.

        Raises RequestError where the formula gives no finite number."""
        count = len(next(iter(scores.values())))
        of_tasks = {task: values.astype(np.float64) for task, values in scores.items()}
        with np.errstate(all="ignore"):
            values = np.broadcast_to(_value(self.formula, of_tasks), (count,))
        if wrong := count - np.count_nonzero(np.isfinite(values)):
            told = f"is no finite number for {wrong} of {count} candidates"
            raise RequestError(422, "ranking.formula", told)
        best = np.argsort(-values, kind="stable")[: self.top]
        return best, values[best]


def parse_ranking(told: Any, tasks: Sequence[str]) -> Ranking:
    """The `ranking` of a request. Raises RequestError."""
    if not isinstance(told, dict):
        raise RequestError(422, "ranking", "expected an object")
    for name in told.keys() - {"formula", "top"}:
        raise RequestError(422, f"ranking.{name}", "unknown field; expected formula, top")
    text, top = told.get("formula"), told.get("top")
    if not isinstance(text, str) or len(text) > LONGEST:
        expected = f"expected an expression of {', '.join(tasks)}, of at most {LONGEST} characters"
        raise RequestError(422, "ranking.formula", expected)
    if top is not None and (type(top) is not int or top < 1):
        raise RequestError(422, "ranking.top", "expected an integer from 1")
    try:
        formula = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise RequestError(422, "ranking.formula", "is no expression") from None
    _check(formula, tasks)
    return Ranking(formula, top)


def _check(node: ast.expr, tasks: Sequence[str]) -> None:
    match node:
        case ast.BinOp(left, of, right) if type(of) in _BINARY:
            _check(left, tasks)
            _check(right, tasks)
        case ast.UnaryOp(of, operand) if type(of) in _UNARY:
            _check(operand, tasks)
        case ast.Constant(value) if type(value) in (int, float):
            pass
        case ast.Name(name) if name in tasks:
            pass
        case _:
            raise RequestError(
                422,
                "ranking.formula",
                f"expected numbers, + - * / ** ( ) and {', '.join(tasks)}; found "
                f"{ast.unparse(node)!r:.60}",
            )


def _value(node: ast.expr, scores: Mapping[str, np.ndarray]) -> Any:
    match node:
        case ast.BinOp(left, of, right):
            return _BINARY[type(of)](_value(left, scores), _value(right, scores))
        case ast.UnaryOp(of, operand):
            return _UNARY[type(of)](_value(operand, scores))
        case ast.Constant(int() | float() as value):
            return np.float64(value)  # never Python's integers, which grow without end
        case ast.Name(name):
            return scores[name]
    raise AssertionError(node)  # _check let it pass
