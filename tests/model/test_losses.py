"""What a task asks for beside its log-loss: JRC's generative term and RankNet's pairs, against
plain loops in float64 over the papers' words."""

import math
from itertools import pairwise, product

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rayrank.data.jagged import JaggedBatch, to_jagged
from rayrank.embedding.tables import LocalTables
from rayrank.metrics.ranking import gauc
from rayrank.model.ranker import Ranker, mean_of_known
from rayrank.schema import LossConfig, Schema, Task

from ..effort import examples
from .rows import SCHEMA, User, candidate, features, table

PROFILE = features(SCHEMA, "profile", 0)
Shown = tuple[int, float, float | None, float | None, float]
"""The minute of its request, its logit, its labels (click, order), its weight."""


def schema_of(click: LossConfig, order: LossConfig, request: str | None = "request_id") -> Schema:
    tasks = {
        "click": Task(label="click", loss=click),
        "order": Task(label="order", given="click", loss=order),
    }
    return SCHEMA.model_copy(update={"tasks": tasks, "request": request})


def ranker_of(schema: Schema) -> Ranker:
    return Ranker(schema, LocalTables(schema.tables, init_std=0.1, seed=0))


def batch_of(users: list[list[Shown]], *, weighted: bool = True) -> JaggedBatch:
    """Users of candidates, which ascend in time."""
    rows = table(
        [
            User(
                PROFILE,
                candidates=[
                    candidate(minute, seed)
                    | {
                        "label.click": math.nan if click is None else click,
                        "label.order": math.nan if order is None else order,
                    }
                    for seed, (minute, _, click, order, _) in enumerate(shown)
                ],
            )
            for shown in users
        ]
    )
    if weighted:
        weights = [[weight for *_, weight in shown] for shown in users]
        rows = rows.append_column("weight", pa.array(weights, pa.list_(pa.float32())))
    return to_jagged(rows, SCHEMA)


def logits_of(users: list[list[Shown]], order_logit: float = 0.3) -> torch.Tensor:
    """float64 [C, 2]"""
    told = [[z, order_logit - 0.5 * z] for shown in users for _, z, *_ in shown]
    return torch.tensor(told, dtype=torch.float64).reshape(-1, 2)


def odds(z_click: float, z_order: float, task: str) -> float:
    """log p / (1 - p), p of order being that of click times its own."""
    p = 1 / (1 + math.exp(-z_click))
    if task == "order":
        p *= 1 / (1 + math.exp(-z_order))
    return math.log(p / (1 - p))


Known = list[tuple[int, float, float, float]]
"""Of the candidates of a user whose label is known: minute, log-odds, label, weight."""


def known_of(users: list[list[Shown]], logits: torch.Tensor, task: str) -> list[Known]:
    place = 2 if task == "click" else 3
    rows, told = [], iter(logits.tolist())
    for shown in users:
        of_user = [(one, *next(told)) for one in shown]
        rows.append(
            [
                (one[0], odds(a, b, task), float(one[place]), float(np.float32(one[4])))
                for one, a, b in of_user
                if one[place] is not None and one[4] > 0
            ]
        )
    return rows


def log_loss(rows: list[Known]) -> float:
    return sum(
        -w * math.log(1 / (1 + math.exp(-z if y else z))) for row in rows for _, z, y, w in row
    )


def generative(rows: list[Known], *, by_request: bool) -> float:
    """-log of what share of exp(f_y), over its context, each candidate has: the paper's p(x | y, z)
    with f_1 = z / 2 and f_0 = -z / 2; a weight is a prior of that much."""
    lost = 0.0
    for row in rows:
        for minute, z, y, w in row:
            context = [one for one in row if not by_request or one[0] == minute]
            sign = 0.5 if y else -0.5
            total = sum(v * math.exp(sign * other) for _, other, _, v in context)
            lost -= w * math.log(w * math.exp(sign * z) / total)
    return lost


def pairs(rows: list[Known]) -> float:
    """The mean over a row's pairs (by the product of their weights), times its known labels."""
    lost = 0.0
    for row in rows:
        own = [
            (w * v, math.log(1 + math.exp(-(z - other))))
            for (_, z, y, w), (_, other, no, v) in product(row, row)
            if y == 1 and no == 0
        ]
        if own:
            mean = sum(v * loss for v, loss in own) / sum(v for v, _ in own)
            lost += mean * sum(w for *_, w in row)
    return lost


LABEL = st.sampled_from([0.0, 1.0, None])
SHOWN = st.tuples(
    st.integers(0, 2), st.floats(-6, 6), LABEL, LABEL, st.sampled_from([0, 0.5, 1, 3])
)
IN_TIME = st.lists(SHOWN, min_size=1, max_size=5).map(lambda of: sorted(of, key=lambda s: s[0]))
USERS = st.lists(IN_TIME, min_size=1, max_size=4)


@settings(max_examples=examples(40), deadline=None)
@given(
    users=USERS,
    click=st.sampled_from([LossConfig(jrc=0.3), LossConfig(pairwise=0.7), LossConfig()]),
    order=st.sampled_from([LossConfig(jrc=1, pairwise=2), LossConfig(pairwise=0.5)]),
    request=st.sampled_from(["request_id", None]),
)
def test_the_sums_are_those_of_plain_loops(
    users: list[list[Shown]], click: LossConfig, order: LossConfig, request: str | None
) -> None:
    ranker, batch = ranker_of(schema_of(click, order, request)), batch_of(users)
    logits = logits_of(users)
    expected = []
    for task, loss in (("click", click), ("order", order)):
        rows = known_of(users, logits, task)
        joint = generative(rows, by_request=request is not None) if loss.jrc else 0.0
        total = (1 - loss.jrc) * log_loss(rows) + loss.jrc * joint
        expected.append(total + loss.pairwise * pairs(rows))
    found = ranker.loss_sums(logits, batch)
    assert found.tolist() == pytest.approx(expected, rel=1e-6, abs=1e-9)
    in_float32 = ranker.loss_sums(logits.float(), batch)
    assert in_float32.tolist() == pytest.approx(expected, rel=1e-4, abs=1e-4)


EVERY = LossConfig(jrc=0.4, pairwise=0.6)
BOTH = ranker_of(schema_of(EVERY, EVERY))
DRAWN: list[list[Shown]] = [
    [(0, 0.5, 1.0, 0.0, 1.0), (0, -1.0, 0.0, None, 2.0), (1, 2.0, 0.0, 0.0, 1.0)],
    [(0, 1.5, None, None, 1.0), (0, 0.1, 1.0, 1.0, 1.0), (0, 0.2, 0.0, 0.0, 0.5)],
    [(2, -0.7, 1.0, 1.0, 1.0)],
    [(0, 3.0, 0.0, 0.0, 1.0), (0, -2.0, 1.0, 1.0, 1.0)],
]


def gradient(users: list[list[Shown]], known_K: torch.Tensor) -> torch.Tensor:
    """[C, 2] of the loss of users as one batch, of a step of so many known labels."""
    logits = logits_of(users).requires_grad_(True)
    mean_of_known(BOTH.loss_sums(logits, batch_of(users)), known_K).sum().backward()
    assert logits.grad is not None
    return logits.grad


def test_the_gradient_does_not_depend_on_how_users_are_dealt() -> None:
    """To batches of the step, which ranks share out."""
    known_K = BOTH.known_labels(batch_of(DRAWN))
    whole = gradient(DRAWN, known_K)
    for cuts in ([1], [2], [1, 2, 3], [3]):
        ends = [0, *cuts, len(DRAWN)]
        parts = [gradient(DRAWN[a:b], known_K) for a, b in pairwise(ends)]
        torch.testing.assert_close(torch.cat(parts), whole)
    turned = gradient(DRAWN[::-1], known_K)
    pieces = list(whole.split([len(shown) for shown in DRAWN]))
    torch.testing.assert_close(turned, torch.cat(pieces[::-1]))


def test_a_weight_has_the_gradient_of_so_many_candidates() -> None:
    twice = [[one for one in shown for _ in range(2)] for shown in DRAWN]
    weighted = [[(*one[:4], 2.0) for one in shown] for shown in DRAWN]
    once = [[(*one[:4], 1.0) for one in shown] for shown in twice]
    of_copies = gradient(once, torch.ones(2)).reshape(-1, 2, 2).sum(1)
    torch.testing.assert_close(gradient(weighted, torch.ones(2)), of_copies)


def test_an_unknown_label_pulls_at_nothing_and_is_in_nobodys_context() -> None:
    """Not even where its logit is beyond all others."""
    asked: list[list[Shown]] = [[(0, 1.0, 1.0, 1.0, 1.0), (0, -1.0, 0.0, 0.0, 1.0)]]
    beside: list[list[Shown]] = [[*asked[0], (0, 1e30, None, None, 1.0)]]
    found, alone = (gradient(users, torch.ones(2)) for users in (beside, asked))
    torch.testing.assert_close(found[:2], alone)
    assert found[2].tolist() == [0, 0]


def test_a_candidate_alone_in_its_request_has_nobody_to_stand_out_from() -> None:
    alone = ranker_of(schema_of(LossConfig(jrc=1), LossConfig()))
    users: list[list[Shown]] = [[(0, 1.0, 1.0, 1.0, 1.0), (1, -1.0, 0.0, 0.0, 1.0)]]
    click, _ = alone.loss_sums(logits_of(users), batch_of(users)).tolist()
    assert click == 0


def test_a_batch_without_candidates_or_labels_costs_nothing() -> None:
    none: list[list[Shown]] = []
    unknown: list[list[Shown]] = [[(0, 1.0, None, None, 1.0)]]
    for users in (none, unknown):
        logits = logits_of(users).requires_grad_(True)
        loss = BOTH.loss_sums(logits, batch_of(users)).sum()
        loss.backward()
        assert loss.item() == 0
        assert logits.grad is not None
        assert not logits.grad.any()


@pytest.mark.parametrize("size", [80.0, 1e4, 1e30])
@pytest.mark.parametrize("labels", list(product([0.0, 1.0], repeat=2)))
def test_extreme_logits(size: float, labels: tuple[float, float]) -> None:
    click, order = labels
    users: list[list[Shown]] = [[(0, size, click, order, 1.0), (0, -size, order, click, 1.0)]]
    logits = torch.tensor([[size, -size], [-size, size]], requires_grad=True)
    loss = BOTH.loss_sums(logits, batch_of(users)).sum()
    loss.backward()
    assert math.isfinite(loss.item())
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_nothing_said_is_todays_loss_to_the_bit() -> None:
    """Of a task beside one that says something, too."""
    plain = ranker_of(schema_of(LossConfig(), LossConfig()))
    logits, batch = logits_of(DRAWN).float(), batch_of(DRAWN)
    click, order = plain.loss_sums(logits, batch)
    beside = ranker_of(schema_of(LossConfig(), EVERY)).loss_sums(logits, batch)
    assert torch.equal(beside[0], click)
    assert not torch.equal(beside[1], order)


# A feature that is high for a user who clicks little, and of what is shown together high for what
# is clicked: across users it says no, within a user yes. A model of one weight has to choose.
MIXED: list[tuple[float, float]] = [(-0.5, 0.0), (0.5, 1.0)]
CLICKS_ALL: list[tuple[float, float]] = [(-0.5, 1.0), (0.5, 1.0)]
CLICKS_NONE: list[tuple[float, float]] = [(-0.5, 0.0), (0.5, 0.0)]
TOY = {-2.0: [MIXED, CLICKS_ALL, CLICKS_ALL], 2.0: [MIXED, CLICKS_NONE, CLICKS_NONE]}


def gauc_of(loss: LossConfig) -> float:
    """Of z = w x, w by gradient descent from 0."""
    users: list[list[Shown]] = [
        [(minute, base + x, y, 0.0, 1.0) for minute, of in enumerate(told) for x, y in of]
        for base, told in TOY.items()
    ]
    ranker, batch = ranker_of(schema_of(loss, LossConfig())), batch_of(users)
    x_C, w = logits_of(users)[:, 0], torch.zeros((), dtype=torch.float64, requires_grad=True)
    for _ in range(50):
        logits = torch.stack([w * x_C, torch.zeros_like(x_C)], dim=1)
        click = ranker.loss_sums(logits, batch)[0] / len(x_C)
        (grad,) = torch.autograd.grad(click, w)
        with torch.no_grad():
            w -= 0.3 * grad
    who = np.repeat(np.arange(len(users)), [len(shown) for shown in users])
    label = batch.labels("click").double().numpy()
    return gauc(who, label, (w.detach() * x_C).numpy())


def test_what_is_shown_together_is_ranked_right_where_the_log_loss_alone_ranks_it_wrong() -> None:
    assert gauc_of(LossConfig()) < 0.4
    assert gauc_of(LossConfig(jrc=0.95)) > 0.6
    assert gauc_of(LossConfig(pairwise=5)) > 0.6
