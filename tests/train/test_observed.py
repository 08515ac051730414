"""What two ranks see of a step beside its loss, against one process on the union."""

from pathlib import Path

import numpy as np
import pytest
import torch
from rayrank.train.observed import Observed
from rayrank.train.running_auc import histogram

from ..model.rows import jagged
from .worlds import RANKS, STEPS, Case, in_float64, saw

NUMBERS = pytest.mark.parametrize("number", range(len(STEPS)))


def seen(world: Path, rank: int, number: int) -> Observed:
    observed = saw(world, "plain", rank)["facts"][number]["observed"]
    assert isinstance(observed, Observed)
    return observed


@NUMBERS
def test_predictions_are_those_before_the_step(
    world: Path, cases: dict[str, Case], number: int
) -> None:
    """Of every candidate of both ranks whose label is known."""
    before = [saw(world, "plain", rank)["states"][number] for rank in RANKS]
    model = in_float64(cases["plain"].config, before, training=True)
    batch = jagged([user for users in STEPS[number] for user in users])
    labels_CK = torch.stack([batch.labels("click"), batch.labels("order")], dim=1)
    p_CK = model.predictions(model(batch)).detach()
    expected = histogram(p_CK, labels_CK, None).numpy()
    for rank in RANKS:
        found = seen(world, rank, number).histograms
        assert np.array_equal(found.sum(2), expected.sum(2))
        # Where float32 falls on the other side of a bin's edge, it is the next one.
        assert np.abs((found - expected).cumsum(2)).max() <= 1
        assert np.abs(found - expected).sum() <= 2


@NUMBERS
def test_work_is_summed_and_compared_over_ranks(
    world: Path, cases: dict[str, Case], number: int
) -> None:
    states = [saw(world, "plain", rank)["states"][0] for rank in RANKS]
    model = in_float64(cases["plain"].config, states)
    forward = [float(model.forward_flops(jagged(users)) or 0) for users in STEPS[number]]
    for rank in RANKS:
        observed = seen(world, rank, number)
        assert observed.flops == 3 * sum(forward)
        assert observed.balance == pytest.approx(max(forward) / np.mean(forward))


def test_a_rank_without_users_makes_the_other_twice_the_mean(world: Path) -> None:
    assert STEPS[2][1] == []
    assert seen(world, 0, 2).balance == 2.0
