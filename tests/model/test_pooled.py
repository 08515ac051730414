"""Rows of the DLRM family: what a candidate may see, pooled; and the DLRM, an MLP of it."""

import torch
from rayrank.model.dlrm import DLRM
from torch import Tensor

from .family import USERS, rows, weights
from .rankers import DLRM_CONFIG, logits_of, ranker
from .rows import Element, User, jagged
from .test_flops import BATCH

MODEL = ranker(DLRM_CONFIG)
GOLDEN = [
    [-0.414566, -0.464438],
    [-0.432399, -0.532729],
    [-0.453771, -0.420913],
    [-0.467821, -0.505168],
    [-0.477824, -0.314518],
    [-0.352906, -0.481947],
    [-0.362339, -0.516074],
    [-0.39048, -0.417687],
    [-0.312344, -0.469088],
]
NAMES = [
    "profile.mean",
    "profile.std",
    "profile.low",
    "profile.high",
    "behaviours.views.mean",
    "behaviours.views.std",
    "behaviours.views.low",
    "behaviours.views.high",
    "behaviours.buys.mean",
    "behaviours.buys.std",
    "behaviours.buys.low",
    "behaviours.buys.high",
    "candidate.mean",
    "candidate.std",
    "candidate.low",
    "candidate.high",
    "mlp.0.weight",
    "mlp.0.bias",
    "mlp.3.weight",
    "mlp.3.bias",
]


def rows_of(model: DLRM) -> Tensor:
    kept: list[Tensor] = []
    handle = model.mlp.register_forward_pre_hook(lambda _, args: kept.append(args[0]))
    model(jagged(USERS))
    handle.remove()
    return kept[0]


def test_rows_are_those_made_one_by_one() -> None:
    assert isinstance(MODEL, DLRM)
    expected = rows(MODEL, USERS)
    torch.testing.assert_close(rows_of(MODEL), expected, rtol=1e-10, atol=1e-10)
    counts = [width for name, width in MODEL.columns if "how many()" in name]
    assert counts == [1, 1, 1, 1]
    assert expected.shape[1] == MODEL.width == sum(width for _, width in MODEL.columns)


def test_columns_are_called_what_they_are() -> None:
    """By what tells the parts of the sequences from each other: how many behaviours they have."""
    assert isinstance(MODEL, DLRM)
    row_CD, start = rows_of(MODEL), 0
    for name, width in MODEL.columns:
        part, _, column = name.partition(": ")
        if column == "how many()":
            expected = torch.tensor([visible(u, c, part) for u in USERS for c in u.candidates])
            torch.testing.assert_close(row_CD[:, start], expected.double().log1p())
        start += width


def visible(user: User, shown: Element, part: str) -> int:
    """How many behaviours of a part, say "static views", a candidate may see."""
    when, sequence = part.split()
    behaviours = getattr(user, when)
    seen = [e for e in behaviours if when == "static" or e["known_at"] < shown["time"]]
    return sum(e["sequence"] == sequence for e in seen)


def test_a_dlrm_is_an_mlp_of_them() -> None:
    assert isinstance(MODEL, DLRM)
    expected = weights(MODEL).mlp("mlp", 2, rows(MODEL, USERS), ends=True)
    actual = logits_of(MODEL, lambda: MODEL(jagged(USERS)))
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)


def test_its_logits_are_what_they_were() -> None:
    """Before there was a family (`dlrm.py` had the rows in it)."""
    torch.testing.assert_close(
        MODEL(BATCH).detach(),
        torch.tensor(GOLDEN),
        rtol=1e-5,
        atol=1e-6,
    )
    assert list(MODEL.dense_state()) == NAMES
