"""Nobody reads rows for a ranker without asking for its view: whatever takes a RankerConfig and a
log's schema says `config.view.of(schema)`, or hands both on to what does."""

import ast
from pathlib import Path

import pytest

RAYRANK = Path(__file__).parents[2] / "platform" / "rayrank"
COMPARES_TASKS = {"demand_fit"}
"""Which views leave alone."""


def asked_of_both(tree: ast.AST) -> dict[str, bool]:
    """Function that takes both -> whether it asks for the view, or hands both on."""
    found = {}
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        arguments = [*function.args.args, *function.args.kwonlyargs]
        types = {ast.unparse(of.annotation) for of in arguments if of.annotation is not None}
        if not {"RankerConfig", "Schema"} <= types:
            continue
        calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
        handed = [
            {name.id for name in ast.walk(call) if isinstance(name, ast.Name)} for call in calls
        ]
        told = any(ast.unparse(call) == "config.view.of(schema)" for call in calls)
        found[function.name] = told or any({"config", "schema"} <= names for names in handed)
    return found


def test_every_view_is_asked_for() -> None:
    found: dict[str, bool] = {}
    for file in sorted(RAYRANK.rglob("*.py")):
        asks = asked_of_both(ast.parse(file.read_text()))
        found |= {f"{file.stem}.{name}": of for name, of in asks.items()}
    assert {"run.train", "predict.predict", "export.export", "export.local_ranker"} <= found.keys()
    assert {name.split(".")[1] for name, asks in found.items() if not asks} == COMPARES_TASKS


@pytest.mark.parametrize(
    ("body", "asks"),
    [
        ("build(schema)", False),
        ("build(config.view.of(schema))", True),
        ("other(rows, (config, schema))", True),
        ("other(config)", False),
    ],
)
def test_one_that_does_not_ask_is_found(body: str, asks: bool) -> None:
    tree = ast.parse(f"def f(schema: Schema, config: RankerConfig) -> None:\n    {body}")
    assert asked_of_both(tree) == {"f": asks}
