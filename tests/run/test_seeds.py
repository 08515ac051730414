"""The same rankers from several seeds, added up by hand."""

import math

import pytest
from rayrank.evaluate.results import Evaluation, TaskQualities
from rayrank.metrics import BinaryQuality, Estimate
from rayrank.run.config import RunConfig
from rayrank.run.seeds import Spread, over_seeds, with_seeds

CONFIG = RunConfig.model_validate(
    {
        "run_dir": "runs/x",
        "data": {"source": "simulate"},
        "rankers": {
            "one": {"model": {"kind": "dlrm"}},
            "two": {"model": {"kind": "dlrm"}, "train": {"seed": 5, "epochs": 2}},
        },
    }
)


def test_each_ranker_is_trained_from_its_own_seed_up() -> None:
    seeded = with_seeds(CONFIG, 3).rankers
    assert {name: ranker.train.seed for name, ranker in seeded.items()} == {
        **{"one-0": 0, "one-1": 1, "one-2": 2},
        **{"two-5": 5, "two-6": 6, "two-7": 7},
    }
    assert {ranker.train.epochs for name, ranker in seeded.items() if "two" in name} == {2}


def quality(auc: float, error: float) -> TaskQualities:
    return {"click": BinaryQuality(auc=Estimate(auc, error), gauc=Estimate(1 - auc, 2 * error))}


def test_spreads_are_means_and_deviations_over_seeds() -> None:
    rankers = {
        **{"one-0": quality(0.5, 0.01), "one-1": quality(0.7, 0.03)},
        **{"two-5": quality(0.8, 0.02), "two-6": quality(0.8, 0.02)},
    }
    evaluation = Evaluation(
        served="one-0",
        rows="rows",
        versions={},
        users=1,
        exposures=1,
        known_labels={},
        rankers=rankers,
        baselines={"rate": quality(0.6, 0.05)},
        differences={},
        slices={},
        calibration={},
    )
    spreads = over_seeds(CONFIG, 2, evaluation)
    assert list(spreads) == ["one", "two", "rate"]
    # Of two values the deviation, with n - 1, is their distance over the root of two.
    assert spreads["one"]["click"]["auc"] == pytest.approx((0.6, 0.2 / math.sqrt(2), 0.02))
    assert spreads["one"]["click"]["gauc"] == pytest.approx((0.4, 0.2 / math.sqrt(2), 0.04))
    assert spreads["two"]["click"]["auc"] == pytest.approx((0.8, 0.0, 0.02))
    assert spreads["rate"]["click"]["auc"] == Spread(0.6, 0.0, 0.05)
