"""A task that is a number, beside binary ones: its loss, its gradient, what is predicted."""

import math

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rayrank.data.jagged import JaggedBatch, to_jagged
from rayrank.data.scale import Scale
from rayrank.embedding.tables import LocalTables
from rayrank.model.ranker import Ranker
from rayrank.schema import Schema, Task

from .rows import SCHEMA, User, candidate, features, table

MIXED: Schema = SCHEMA.model_copy(
    update={
        "tasks": {
            "click": Task(label="click"),
            "watched": Task(kind="number", label="seconds"),
            "order": Task(label="order", given="click"),
        }
    }
)
RANKER = Ranker(MIXED, LocalTables(MIXED.tables, init_std=0.1, seed=0))
PROFILE = features(SCHEMA, "profile", 0)


def labelled(
    click: list[float], watched: list[float], order: list[float], weight: list[float] | None = None
) -> JaggedBatch:
    shown = [
        candidate(0, i) | {"label.click": c, "label.watched": w, "label.order": o}
        for i, (c, w, o) in enumerate(zip(click, watched, order, strict=True))
    ]
    rows = table([User(PROFILE, candidates=shown)], MIXED)
    if weight is not None:
        rows = rows.append_column("weight", pa.array([weight], pa.list_(pa.float32())))
    return to_jagged(rows, MIXED)


@settings(deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.floats(-5, 12), st.one_of(st.just(math.nan), st.floats(0, 1e5)), st.floats(0, 3)
        ),
        min_size=1,
        max_size=6,
    )
)
def test_the_loss_is_the_squared_error_of_logarithms(
    rows: list[tuple[float, float, float]],
) -> None:
    """Over known labels, by their weights; the tasks beside it are what they were."""
    z, x, weight = (list(column) for column in zip(*rows, strict=True))
    n = len(rows)
    batch = labelled([1.0] * n, x, [0.0] * n, weight)
    logits = torch.zeros(n, 3, dtype=torch.float64)
    logits[:, 1] = torch.tensor(z)
    x32 = [float(np.float32(v)) for v in x]
    w32 = [float(np.float32(v)) for v in weight]
    known = [(a, b, w) for a, b, w in zip(z, x32, w32, strict=True) if not math.isnan(b)]
    expected = sum(w * (a - math.log(1 + b)) ** 2 for a, b, w in known)
    click, watched, order = RANKER.loss_sums(logits, batch).tolist()
    assert watched == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert click == pytest.approx(sum(w32) * math.log(2), rel=1e-5, abs=1e-9)
    assert order == pytest.approx(-sum(w32) * math.log(1 - 1 / 4), rel=1e-5, abs=1e-9)
    counted = RANKER.known_labels(batch).tolist()
    assert counted == pytest.approx([sum(w32), sum(w for *_, w in known), sum(w32)], rel=1e-5)


def test_it_pulls_at_its_own_logit_alone_and_an_unknown_one_at_nothing() -> None:
    logits = torch.tensor([[0.0, 2.0, 0.0], [0.0, 1e30, 0.0]], requires_grad=True)
    batch = labelled([math.nan] * 2, [math.e - 1, math.nan], [math.nan] * 2)
    loss = RANKER.loss(logits, batch)
    loss.backward()
    assert loss.item() == pytest.approx(1)
    assert logits.grad is not None
    assert logits.grad[0].tolist() == pytest.approx([0, 2, 0])
    assert logits.grad[1].tolist() == [0, 0, 0]


def test_what_is_predicted_is_the_number_itself() -> None:
    logits = torch.tensor([[0.0, math.log(61), 0.0], [0.0, -3.0, 0.0], [0.0, 1e4, 0.0]])
    p = RANKER.predictions(logits)
    assert p.dtype == torch.float32
    assert p[:, 1].tolist() == pytest.approx([60, 0, torch.finfo(torch.float32).max])
    assert p[:, 0].tolist() == [0.5] * 3
    assert p[:, 2].tolist() == pytest.approx([0.25] * 3)


def test_a_logit_that_is_no_number_predicts_none() -> None:
    assert math.isnan(RANKER.predictions(torch.tensor([[0.0, math.nan, 0.0]]))[0, 1])


def test_its_logit_is_in_deviations_from_the_mean_of_the_training_rows() -> None:
    """So that it starts near the labels, and weighs like the tasks beside it."""
    ranker = Ranker(MIXED, LocalTables(MIXED.tables, init_std=0.1, seed=0))
    ranker.scale_labels({"label.watched": Scale(5.0, 2.0), "label.click": Scale(9.0, 9.0)})
    logits = torch.tensor([[0.0, 0.0, 0.0], [0.0, -1.5, 0.0]])
    p = ranker.predictions(logits)
    assert p[:, 1].tolist() == pytest.approx([math.expm1(5), math.expm1(2)])
    assert p[:, 0].tolist() == [0.5, 0.5]
    batch = labelled([1.0, 1.0], [math.expm1(9), math.expm1(2)], [0.0, 0.0])
    click, watched, _ = ranker.loss_sums(logits, batch).tolist()
    assert watched == pytest.approx(((9 - 5) / 2) ** 2, rel=1e-5)
    assert click == pytest.approx(2 * math.log(2))
    other = Ranker(MIXED, LocalTables(MIXED.tables, init_std=0.1, seed=0))
    other.load_dense(ranker.dense_state())
    assert torch.equal(other.predictions(logits), p)


def test_a_ranker_without_such_a_task_keeps_nothing_of_labels() -> None:
    assert not any(name.startswith("label") for name in Ranker(SCHEMA, RANKER.tables).dense_state())
