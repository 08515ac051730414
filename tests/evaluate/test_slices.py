"""Test exposures by how much was known of their user."""

import math

import numpy as np
import pytest
from rayrank.evaluate.slices import by_history
from rayrank.metrics import gauc

# Four exposures of each user, and how many behaviours of theirs were known.
HISTORY = {"ann": 0, "bob": 0, "cem": 1, "dan": 9, "eve": 10, "fay": 1000}


def columns() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    user = np.repeat(list(HISTORY), 4)
    label = np.tile([0, 1, 0, 1], len(HISTORY))
    score = np.tile([0.1, 0.9, 0.2, 0.8], len(HISTORY))
    score[:4] = [0.9, 0.1, 0.8, 0.2]  # ann: everything the wrong way round
    return user, label, score, np.repeat(list(HISTORY.values()), 4)


def test_known_answer() -> None:
    found = by_history(*columns(), samples=20)
    assert [(s.name, s.users, s.exposures) for s in found] == [
        ("new users (0)", 2, 8),
        ("1–9", 2, 8),
        ("10–49", 1, 4),
        ("200+", 1, 4),
    ]
    # New users: of 4 positives x 4 negatives, bob's 4 pairs are right and ann's 4 wrong; ann's
    # positives (.1, .2) beat bob's negatives (.1, .2) in 1 and tie in 2 of 4 pairs, bob's positives
    # (.9, .8) beat ann's negatives (.9, .8) in 1 and tie in 2.
    assert found[0].quality["auc"].value == pytest.approx((4 + 0 + 2 + 2) / 16)
    assert found[0].quality["gauc"].value == pytest.approx(0.5)
    for each in found[1:]:
        assert [each.quality[metric].value for metric in ("auc", "gauc")] == [1, 1]


def test_the_edges() -> None:
    history = np.array([0, 1, 9, 10, 49, 50, 199, 200, 3000])
    number = np.arange(len(history))
    found = by_history(number, number % 2, number.astype(float), history, samples=5)
    assert [(s.name, s.exposures) for s in found] == [
        ("new users (0)", 1),
        ("1–9", 2),
        ("10–49", 2),
        ("50–199", 2),
        ("200+", 2),
    ]
    assert math.isnan(found[0].quality["auc"].value)
    assert math.isnan(found[1].quality["gauc"].value)


def test_slices_share_out_all_exposures_and_count_a_user_in_each() -> None:
    draw = np.random.default_rng(0)
    user, label = draw.integers(0, 30, 500), draw.integers(0, 2, 500)
    score, history = draw.normal(size=500), draw.integers(0, 300, 500)
    found = by_history(user, label, score, history, samples=20)
    assert sum(s.exposures for s in found) == 500
    assert sum(s.users for s in found) > 30
    long = history >= 200
    (last,) = (s for s in found if s.name == "200+")
    assert last.quality["gauc"].value == pytest.approx(gauc(user[long], label[long], score[long]))
    assert 0 < last.quality["gauc"].standard_error < 0.2


def test_one_length_is_one_slice() -> None:
    user, label, score, _ = columns()
    (only,) = by_history(user, label, score, np.full(len(user), 12), samples=5)
    assert (only.name, only.users, only.exposures) == ("10–49", len(HISTORY), len(user))
