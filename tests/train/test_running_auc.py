"""AUC from histograms, beside the exact one."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rayrank.metrics import auc
from rayrank.train.running_auc import BINS, REACH, WINDOW, RunningAUC, auc_of, histogram
from torch import Tensor

P = st.one_of(st.floats(0, 1, width=32), st.sampled_from([0.0, 0.25, 0.5, 1.0]))
SHOWN = st.lists(st.tuples(P, st.sampled_from([0.0, 1.0, float("nan")]), st.integers(0, 3)))


def counts_of(p_C: Tensor, labels_C: Tensor, weight_C: Tensor | None = None) -> np.ndarray:
    """The histogram of one task."""
    (counts,) = histogram(p_C[:, None], labels_C[:, None], weight_C).numpy()
    return counts


@settings(deadline=None)
@given(SHOWN, st.booleans())
def test_it_is_off_by_half_the_pairs_in_one_bin_at_most(
    shown: list[tuple[float, float, int]], weighted: bool
) -> None:
    """A candidate of weight n counts as n of them; one whose label is unknown as none."""
    p, label, weight = torch.tensor(shown).view(-1, 3).unbind(1)
    counts = counts_of(p, label, weight if weighted else None)
    times = np.where(np.isnan(label), 0, weight if weighted else 1).astype(int)
    exact = auc(np.repeat(label.nan_to_num().numpy(), times), np.repeat(p.numpy(), times))
    assert counts.sum() == times.sum()
    if np.isnan(exact):
        assert np.isnan(auc_of(counts))
        return
    shared = (counts[0] * counts[1]).sum() / (counts[0].sum() * counts[1].sum())
    assert abs(auc_of(counts) - exact) <= shared / 2 + 1e-12


@pytest.mark.parametrize(("mean", "apart"), [(-1.0, 1.2), (-4.0, 1.2), (-4.0, 0.4), (0.0, 4.0)])
def test_of_scores_as_rankers_give_them_it_is_off_by_less_than_a_thousandth(
    mean: float, apart: float
) -> None:
    draw = np.random.default_rng(3)
    odds = draw.normal(mean, apart, 50_000)
    p = torch.tensor(odds).sigmoid().float()
    label = torch.tensor(draw.random(50_000) < p.numpy()).float()
    exact = auc(label.numpy(), p.numpy())
    assert auc_of(counts_of(p, label)) == pytest.approx(exact, abs=1e-3)


def test_bins_are_of_like_width_in_log_odds() -> None:
    width = 2 * REACH / BINS
    middles = torch.tensor([-REACH + (bin_ + 0.5) * width for bin_ in (0, 1, 128, 254, 255)])
    p = middles.double().sigmoid()
    counts = counts_of(torch.tensor([0.0, *p, 1.0, float("nan")]), torch.ones(8))
    assert counts[1].nonzero()[0].tolist() == [0, 1, 128, 254, 255]
    assert counts[1, [0, 1, 128, 254, 255]].tolist() == [3, 1, 1, 1, 2]
    assert counts[0].sum() == 0


def step(*aucs: float) -> np.ndarray:
    """Histograms of tasks whose AUC is 0, 1/2 or 1."""
    counts = np.zeros((len(aucs), 2, BINS))
    for task, value in enumerate(aucs):
        counts[task, 0, 128] = 1
        counts[task, 1, 128 + int(4 * value) - 2] = 1
    return counts


def test_tasks_have_their_own_over_the_last_steps() -> None:
    running = RunningAUC(["click", "order"])
    assert running.add(step(1.0, 0.5)) == {"click": 1.0, "order": 0.5}
    assert running.add(step(1.0, 0.0)) == {"click": 1.0, "order": 0.25}
    for _ in range(WINDOW - 1):
        last = running.add(step(0.5, 0.0))
    # The first is out, the second still in: one positive of WINDOW is above all negatives.
    assert last == {"click": pytest.approx(0.5 + 0.5 / WINDOW), "order": 0.0}


def test_a_task_of_which_one_class_was_seen_has_none() -> None:
    running = RunningAUC(["click", "order"])
    counts = step(1.0, 1.0)
    counts[1, 1] = 0
    assert running.add(counts) == {"click": 1.0}
    assert RunningAUC([]).add(np.zeros((0, 2, BINS))) == {}


def test_tasks_do_not_mix() -> None:
    p = torch.tensor([[0.9, 0.1], [0.2, 0.6]])
    labels = torch.tensor([[1.0, 0.0], [float("nan"), 1.0]])
    counts = histogram(p, labels, torch.tensor([2.0, 3.0])).numpy()
    assert counts.sum(2).tolist() == [[0, 2], [2, 3]]
    assert [counts[k].sum(0).argmax() for k in range(2)] == [counts[0, 1].argmax(), 128 + 5]
