"""Probabilities and loss of a chain of tasks."""

import math
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rayrank.data.jagged import JaggedBatch, to_jagged
from rayrank.embedding.tables import LocalTables
from rayrank.model.ranker import Ranker
from rayrank.schema import Schema, Task

from ..effort import examples
from .rows import SCHEMA, User, candidate, features, jagged, table

CHAIN: Schema = SCHEMA.model_copy(
    update={
        "tasks": {
            **SCHEMA.tasks,
            "review": Task(label="review", given="order"),
            "share": Task(label="share"),
        }
    }
)
RANKER = Ranker(CHAIN, LocalTables(CHAIN.tables, init_std=0.1, seed=0))
PARENT = {"click": None, "order": "click", "review": "order", "share": None}
PROFILE = features(SCHEMA, "profile", 0)
LOGITS = st.lists(st.lists(st.floats(-12, 12), min_size=4, max_size=4), min_size=1, max_size=6)


def labelled(
    labels: Sequence[tuple[int | None, ...]], weights: list[float] | None = None
) -> JaggedBatch:
    shown = [
        candidate(0, i)
        | {f"label.{t}": math.nan if y is None else y for t, y in zip(PARENT, row, strict=True)}
        for i, row in enumerate(labels)
    ]
    rows = table([User(PROFILE, candidates=shown)], CHAIN)
    if weights is not None:
        rows = rows.append_column("weight", pa.array([weights], pa.list_(pa.float32())))
    return to_jagged(rows, CHAIN)


def naive(logits: np.ndarray) -> np.ndarray:
    own = 1 / (1 + np.exp(-logits.astype(np.float64)))
    p = own.copy()
    p[:, 1] *= own[:, 0]
    p[:, 2] *= own[:, 1] * own[:, 0]
    return p


@settings(max_examples=examples(100), deadline=None)
@given(rows=LOGITS)
def test_probabilities_chain(rows: list[list[float]]) -> None:
    logits = torch.tensor(rows)
    p = RANKER.predictions(logits)
    assert p.dtype == torch.float32
    np.testing.assert_allclose(p.numpy(), naive(logits.numpy()), rtol=1e-5)
    assert (p[:, 2] <= p[:, 1]).all()
    assert (p[:, 1] <= p[:, 0]).all()


@settings(max_examples=examples(100), deadline=None)
@given(rows=LOGITS, data=st.data())
def test_loss_is_binary_cross_entropy(rows: list[list[float]], data: st.DataObject) -> None:
    """Of each task, over the candidates whose label is known."""
    bits = st.tuples(*[st.sampled_from([0, 1, None])] * 4)
    labels = data.draw(st.lists(bits, min_size=len(rows), max_size=len(rows)))
    logits = torch.tensor(rows, dtype=torch.float64)
    p = naive(logits.numpy())
    sums, known = [0.0] * 4, [0] * 4
    for row, of_candidate in zip(p, labels, strict=True):
        for k, label in enumerate(of_candidate):
            if label is not None:
                sums[k] -= math.log(row[k] if label else 1 - row[k])
                known[k] += 1
    batch = labelled(labels)
    assert RANKER.known_labels(batch).tolist() == known
    assert RANKER.loss_sums(logits, batch).tolist() == pytest.approx(sums, rel=1e-6)
    assert RANKER.loss_sums(logits.float(), batch).tolist() == pytest.approx(
        sums, rel=1e-4, abs=1e-6
    )
    mean = sum(s / n for s, n in zip(sums, known, strict=True) if n)
    assert RANKER.loss(logits, batch).item() == pytest.approx(mean, rel=1e-6)


@settings(deadline=None)
@given(rows=LOGITS, data=st.data())
def test_a_weight_counts_as_so_many_candidates(
    rows: list[list[float]], data: st.DataObject
) -> None:
    bits = st.tuples(*[st.sampled_from([0, 1, None])] * 4)
    each = st.lists(st.tuples(bits, st.integers(0, 3)), min_size=len(rows), max_size=len(rows))
    labels, weights = zip(*data.draw(each), strict=True)
    logits = torch.tensor(rows, dtype=torch.float64)
    often = torch.repeat_interleave(torch.arange(len(rows)), torch.tensor(weights))
    repeated = labelled([labels[row] for row in often.tolist()])
    weighted = labelled(labels, list(weights))
    assert RANKER.known_labels(weighted).tolist() == RANKER.known_labels(repeated).tolist()
    assert RANKER.loss(logits, weighted).item() == pytest.approx(
        RANKER.loss(logits[often], repeated).item(), rel=1e-6
    )
    # In proportion: it is a mean.
    tenths = labelled(labels, [weight / 10 for weight in weights])
    assert RANKER.loss(logits, tenths).item() == pytest.approx(
        RANKER.loss(logits, weighted).item(), rel=1e-5
    )


def test_an_unknown_label_pulls_at_nothing() -> None:
    """Of the order of the first candidate, and of nothing of the second, nobody knows."""
    logits = torch.zeros(2, 4, requires_grad=True)
    RANKER.loss(logits, labelled([(1, None, None, 0), (None,) * 4])).backward()
    assert logits.grad is not None
    assert logits.grad.tolist() == [[-0.5, 0, 0, 0.5], [0, 0, 0, 0]]


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("size", [20.0, 80.0, 1e4, 1e30])
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, -1, -1), (1, -1, 1), (-1, 1, -1), (1, 1, -1)])
def test_extreme_logits(size: float, signs: tuple[int, ...], label: int) -> None:
    logits = torch.tensor([[size * s for s in (*signs, 1)]], requires_grad=True)
    loss = RANKER.loss_sums(logits, labelled([(label,) * 4])).sum()
    loss.backward()
    assert math.isfinite(loss.item())
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    p = RANKER.predictions(logits)
    assert ((p >= 0) & (p <= 1)).all()


@pytest.mark.parametrize("confidence", [5.0, 20.0, 60.0])
def test_a_confident_mistake_is_still_corrected(confidence: float) -> None:
    """The gradient of a false positive does not vanish where its probability rounds to 1."""
    logits = torch.full((1, 4), confidence, requires_grad=True)
    loss = RANKER.loss_sums(logits, labelled([(1, 0, 0, 0)])).sum()
    loss.backward()
    assert logits.grad is not None
    # Both factors of P(order) share the blame, all three of P(review).
    click, order, review, share = logits.grad[0].tolist()
    assert click == pytest.approx(1 / 2 + 1 / 3, rel=0.05)
    assert order == pytest.approx(1 / 2 + 1 / 3, rel=0.05)
    assert review == pytest.approx(1 / 3, rel=0.05)
    assert share == pytest.approx(1, rel=0.05)
    assert loss.item() == pytest.approx(3 * confidence - math.log(2) - math.log(3), rel=0.01)


def test_labels_are_needed_for_a_loss_only() -> None:
    batch = jagged([User(PROFILE, candidates=[candidate(0, 1)])])
    with pytest.raises(KeyError):
        RANKER.loss(torch.zeros(1, 4), batch)
