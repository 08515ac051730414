"""DCN-v2: the paper's formula, its cost, and products that a linear layer cannot make."""

import math

import pytest
import torch
from rayrank.model.dcn import DCN, CrossLayer, DCNConfig
from rayrank.model.segments import layouts_of
from torch import Tensor, nn

from .family import USERS, Weights, fitted, product_toy, rows, silu, weights
from .rankers import logits_of, ranker
from .rows import SCHEMA, jagged
from .test_flops import BATCH, counted

FULL = DCNConfig(hidden=[16, 8], cross_layers=3)
CONFIGS = {
    "stacked": FULL,
    "low rank": FULL.model_copy(update={"rank": 4}),
    "parallel": FULL.model_copy(update={"structure": "parallel"}),
}
EACH = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())


def by_the_paper(config: DCNConfig, of: Weights, x0_CD: Tensor) -> Tensor:
    """Column by column: x_{l+1, i} = x_{0, i} (sum over j of W_ij x_{l, j} + b_i) + x_{l, i}."""
    x_CD = x0_CD
    for n in range(config.cross_layers):
        W_DD = of.of[f"cross.{n}.up.weight"]
        if config.rank is not None:
            W_DD = W_DD @ of.of[f"cross.{n}.down.weight"]
        b_D = of.of[f"cross.{n}.up.bias"]
        x_CD = torch.stack(
            [
                x0_CD[:, i] * ((W_DD[i] * x_CD).sum(1) + b_D[i]) + x_CD[:, i]
                for i in range(x0_CD.shape[1])
            ],
            dim=1,
        )
    deep_CH = x_CD if config.structure == "stacked" else x0_CD
    for n in range(len(config.hidden)):
        deep_CH = silu(of.linear(f"deep.{3 * n}", deep_CH))
    together = deep_CH if config.structure == "stacked" else torch.cat([x_CD, deep_CH], 1)
    return of.linear("heads", together)


@EACH
def test_it_is_the_papers(config: DCNConfig) -> None:
    model = ranker(config)
    assert isinstance(model, DCN)
    expected = by_the_paper(config, weights(model), rows(model, USERS))
    actual = logits_of(model, lambda: model(jagged(USERS)))
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)
    assert expected.abs().min() > 1e-3


@EACH
def test_its_cost(config: DCNConfig) -> None:
    model = ranker(config)
    assert isinstance(model, DCN)
    D, tasks = model.width, len(SCHEMA.tasks)
    crosses = 3 * 2 * (D * D if config.rank is None else 2 * D * config.rank)
    heads = 2 * tasks * (8 if config.structure == "stacked" else D + 8)
    expected = BATCH.candidates * (crosses + 2 * (D * 16 + 16 * 8) + heads)
    assert int(model.forward_flops(BATCH)) == expected == counted(lambda: model(BATCH))


@EACH
def test_its_columns_have_names(config: DCNConfig) -> None:
    model = ranker(config)
    assert isinstance(model, DCN)
    found = layouts_of(model, SCHEMA.groups)
    columns = model.columns
    full = config.rank is None
    assert found["cross.1.up.weight"] == (columns, columns if full else None)
    assert ("cross.1.down.weight" in found) != full
    assert found["deep.0.weight"] == (None, columns)
    last = [("deep()", 8)]
    assert found["heads.weight"][1] == (last if config.structure == "stacked" else columns + last)


@EACH
def test_it_learns(config: DCNConfig) -> None:
    before, after = fitted(config, product_toy())
    assert before > 0.6
    assert after < 0.3


def test_a_cross_layer_makes_a_product_that_a_linear_one_cannot() -> None:
    """The square error of y = a b, of which all that is linear in a and b explains nothing."""
    generator = torch.Generator().manual_seed(0)
    x_CD = torch.randn(512, 2, generator=generator)
    y_C = x_CD.prod(1)

    def error(crossed: bool) -> float:
        torch.manual_seed(1)
        cross = CrossLayer([("a", 1), ("b", 1)], rank=None)
        head = nn.Linear(2, 1)
        optimizer = torch.optim.Adam([*cross.parameters(), *head.parameters()], lr=0.05)
        loss = torch.tensor(math.inf)
        for _ in range(200):
            out_CD = cross(x_CD, x_CD) if crossed else cross.up(x_CD)
            loss = (head(out_CD).squeeze(1) - y_C).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return loss.item()

    assert error(crossed=True) < 1e-3
    assert error(crossed=False) > 0.5
