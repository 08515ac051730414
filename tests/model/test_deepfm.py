"""DeepFM: the paper's sum over pairs, its cost, and products that a first-order part cannot see."""

from itertools import combinations

import torch
from rayrank.model.deepfm import DeepFM, DeepFMConfig
from rayrank.model.segments import layouts_of

from .family import USERS, fitted, product_toy, rows, weights
from .rankers import logits_of, ranker
from .rows import SCHEMA, jagged
from .test_flops import BATCH, counted

CONFIG = DeepFMConfig(hidden=[16], field_width=5)
MODEL = ranker(CONFIG)
assert isinstance(MODEL, DeepFM)


def test_it_is_the_papers() -> None:
    """First order, each pair of fields by itself, and an MLP."""
    model = ranker(CONFIG)
    assert isinstance(model, DeepFM)
    with torch.no_grad():
        model.products.weight.mul_(torch.linspace(0.5, 2, 10).view(2, 5))
    of, row_CD = weights(model), rows(model, USERS)
    v, start = [], 0
    for _, width in model.columns:
        of_field = slice(start, start + width)
        v.append(row_CD[:, of_field] @ of.of["fields.weight"][:, of_field].T)
        start += width
    pairs_CV = torch.stack([a * b for a, b in combinations(v, 2)]).sum(0)
    expected = (
        of.linear("first_order", row_CD)
        + pairs_CV @ of.of["products.weight"].T
        + of.mlp("mlp", 2, row_CD, ends=True)
    )
    actual = logits_of(model, lambda: model(jagged(USERS)))
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)
    assert pairs_CV.abs().max() > 0.1


def test_a_task_starts_with_the_papers_weights() -> None:
    model = ranker(CONFIG)
    assert isinstance(model, DeepFM)
    assert (model.products.weight == 1).all()


def test_its_cost() -> None:
    assert isinstance(MODEL, DeepFM)
    D, tasks = MODEL.width, len(SCHEMA.tasks)
    of_row = D * tasks + D * 5 + 5 * tasks + D * 16 + 16 * tasks
    expected = BATCH.candidates * 2 * of_row
    assert int(MODEL.forward_flops(BATCH)) == expected == counted(lambda: MODEL(BATCH))


def test_its_columns_have_names() -> None:
    assert isinstance(MODEL, DeepFM)
    found = layouts_of(MODEL, SCHEMA.groups)
    for name in ("first_order.weight", "fields.weight", "mlp.0.weight"):
        assert found[name][1] == MODEL.columns


def test_it_learns() -> None:
    before, after = fitted(CONFIG, product_toy())
    assert before > 0.6
    assert after < 0.3
