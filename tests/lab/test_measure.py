"""What a table of scores is worth, counted by hand."""

import math

import numpy as np
import pyarrow as pa
import pytest
from rayrank.lab.compare import difference, lines
from rayrank.lab.measure import EVERYONE, Measured, measured, worth
from rayrank.metrics.log_loss import normalised_entropy
from rayrank.schema import Schema

from ..model.rows import SCHEMA

TASK = next(iter(SCHEMA.tasks))


def scored(p: list[float], label: list[float], history: list[int]) -> pa.Table:
    """Exposures of two users, three each; of all tasks the same."""
    columns = {
        "user": ["a", "a", "a", "b", "b", "b"],
        "history": history,
        **{f"label.{task}": label for task in SCHEMA.tasks},
        **{f"p.{task}": p for task in SCHEMA.tasks},
    }
    return pa.table(columns)


P = [0.9, 0.2, 0.5, 0.6, 0.4, 0.5]
LABEL = [1.0, 0.0, math.nan, 0.0, 1.0, 1.0]
HISTORY = [0, 0, 0, 12, 12, 12]


def test_metrics_are_of_known_labels() -> None:
    found = measured(scored(P, LABEL, HISTORY), SCHEMA, 5)
    points = {
        metric: value
        for (t, s, metric), value in found.points.items()
        if (t, s) == (TASK, EVERYONE)
    }
    # Positives .9, .4, .5 against negatives .2, .6: 3 + 1 x 2 of 6 pairs minus the two below .6.
    assert points["auc"] == pytest.approx(4 / 6)
    # User a ranks right (2 exposures); b has .6 above both (3 exposures).
    assert points["gauc"] == pytest.approx(2 / 5)
    assert points["calibration"] == pytest.approx((0.9 + 0.2 + 0.6 + 0.4 + 0.5) / 3)
    loss = -np.log([0.9, 0.8, 0.4, 0.4, 0.5]).mean()
    assert points["log_loss"] == pytest.approx(loss)
    of_rate = -(3 / 5 * math.log(3 / 5) + 2 / 5 * math.log(2 / 5))
    assert points["normalised_entropy"] == pytest.approx(loss / of_rate)


def test_slices_hold_those_of_their_history() -> None:
    points = measured(scored(P, LABEL, HISTORY), SCHEMA, 0).points
    assert points[TASK, "new users (0)", "auc"] == 1.0
    assert points[TASK, "10–49", "auc"] == 0.0
    assert (TASK, "1–9", "auc") not in points


def test_draws_are_of_the_same_users_for_everyone() -> None:
    """A ranker and its mirror: what one gains of a draw the other loses."""
    one = measured(scored(P, LABEL, HISTORY), SCHEMA, 30)
    other = measured(scored([1 - p for p in P], LABEL, HISTORY), SCHEMA, 30)
    key = (TASK, EVERYONE, "gauc")
    assert one.draws[key] + other.draws[key] == pytest.approx(np.ones(31))


def test_worth_is_the_mean_of_auc_and_gauc_over_tasks() -> None:
    schema = Schema.model_validate(
        SCHEMA.model_dump() | {"tasks": {"click": {"label": "click"}, "like": {"label": "like"}}}
    )
    points = {
        ("click", EVERYONE, "auc"): 0.8,
        ("click", EVERYONE, "gauc"): 0.6,
        ("like", EVERYONE, "auc"): 0.9,
        ("like", EVERYONE, "gauc"): 0.5,
    }
    assert worth(points, schema) == pytest.approx(0.7)


def test_entropy_is_1_of_who_knows_the_rate_alone() -> None:
    label = np.array([1.0, 0.0, 0.0, 0.0])
    assert normalised_entropy(label, np.full(4, 0.25)) == pytest.approx(1.0)
    assert math.isnan(normalised_entropy(np.ones(3), np.full(3, 0.5)))


def of(auc: float, *more: float) -> Measured:
    draws = {("click", EVERYONE, "gauc"): np.array([auc, *more])}
    return Measured({("click", EVERYONE, "gauc"): auc, ("click", "200+", "gauc"): auc}, draws)


def test_a_difference_is_paired_by_seed_and_draw() -> None:
    """Both move by 0.1 with users and by 0.2 with seeds; the difference by nothing."""
    subject = [of(0.7, 0.8, 0.6), of(0.9, 1.0, 0.8)]
    worse = [of(0.6, 0.7, 0.5), of(0.8, 0.9, 0.7)]
    assert difference(worse, subject, ("click", EVERYONE, "gauc")) == pytest.approx((-0.1, 0.0))


def test_a_baseline_is_compared_to_every_seed() -> None:
    found = difference([of(0.6, 0.6)], [of(0.7, 0.7), of(0.8, 0.8)], ("click", EVERYONE, "gauc"))
    assert found.value == pytest.approx(-0.15)
    assert found.standard_error > 0.3  # of two seeds one knows little


def test_a_line_per_metric_and_none_of_the_subject_against_itself() -> None:
    subject, other = [of(0.7, 0.8), of(0.8, 0.9)], [of(0.6, 0.7), of(0.7, 0.8)]
    found = {
        (line.model, line.slice): line
        for line in lines(
            "log", {"mtgr": subject, "dlrm": other, "oracle": [of(0.9, 0.9)]}, subject
        )
    }
    assert math.isnan(found["mtgr", EVERYONE].difference)
    assert found["dlrm", EVERYONE].difference == pytest.approx(-0.1)
    assert found["dlrm", EVERYONE].std == pytest.approx(0.1 / math.sqrt(2))
    assert found["dlrm", EVERYONE].seeds == 2
    assert found["oracle", EVERYONE].seeds == 0
    assert math.isnan(found["dlrm", "200+"].difference)
