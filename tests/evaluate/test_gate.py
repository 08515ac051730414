"""Gates let through what is as good as before, and stop what surely is not, or may not be."""

import math
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from rayrank.evaluate.gate import (
    Gate,
    GateConfig,
    TaskMeasure,
    day_gates,
    guess_gates,
    measured,
    quality_gates,
)
from rayrank.schema import Schema

from ..model.rows import SCHEMA

CONFIG = GateConfig(samples=50)
CLICKS = Schema.model_validate(
    SCHEMA.model_dump(mode="json", by_alias=True) | {"tasks": {"click": {"label": "click"}}}
)


def scored(
    change: Callable[[np.ndarray], np.ndarray] = lambda p: p, users: int = 600, seed: int = 0
) -> pa.Table:
    """Users of ten candidates whose clicks come as often as `p` says; scores are a change of it."""
    generator = np.random.default_rng(seed)
    p = generator.beta(1, 3, (users, 10)).ravel()
    label = (generator.random(p.shape) < p).astype(np.float64)
    return pa.table(
        {
            "user": np.repeat(np.arange(users), 10),
            "label.click": label,
            "p.click": change(p).astype(np.float32),
        }
    )


def shuffled(table: pa.Table) -> pa.Table:
    labels = np.random.default_rng(9).permutation(table["label.click"].to_numpy())
    return table.set_column(1, "label.click", pa.array(labels))


def passed(gates: list[Gate]) -> dict[str, bool]:
    return {gate.compared.metric if gate.compared else gate.name: gate.passed for gate in gates}


def measure(table: pa.Table) -> dict[str, TaskMeasure]:
    return measured(table, CLICKS, samples=50)


def test_a_measure_is_of_known_labels() -> None:
    table = scored()
    labels = table["label.click"].to_numpy().copy()
    labels[:100] = math.nan
    found = measure(table.set_column(1, "label.click", pa.array(labels)))["click"]
    assert found.known == 5900
    assert found.observed == pytest.approx(np.nanmean(labels))
    assert found.predicted == pytest.approx(table["p.click"].to_numpy()[100:].mean(), rel=1e-4)
    assert 0.6 < found.metrics["auc"].value < 0.8
    assert found.log_loss is not None
    assert 0.4 < found.log_loss < 0.7
    assert TaskMeasure.model_validate_json(found.model_dump_json()) == found


def noisy(p: np.ndarray) -> np.ndarray:
    return np.clip(p + np.random.default_rng(4).normal(0, 0.3, p.shape), 0.01, 0.99)


def test_a_model_that_is_as_good_passes() -> None:
    gates = quality_gates("2026-11-24", scored(), scored(), CLICKS, CONFIG)
    assert passed(gates) == {"auc": True, "log_loss": True}
    assert all("held-out users of 2026-11-24" in gate.told for gate in gates)
    assert all(gate.compared is not None and gate.compared.found.value == 0 for gate in gates)


def test_a_model_that_orders_worse_is_stopped_and_a_better_one_is_not() -> None:
    assert not passed(quality_gates("d", scored(), scored(noisy), CLICKS, CONFIG))["auc"]
    assert passed(quality_gates("d", scored(noisy), scored(), CLICKS, CONFIG))["auc"]


def test_a_model_whose_probabilities_are_off_is_stopped_by_its_log_loss() -> None:
    """As after a day of which half of the positives were lost: the order stays."""
    gates = quality_gates("d", scored(), scored(lambda p: p / 2), CLICKS, CONFIG)
    assert passed(gates) == {"auc": True, "log_loss": False}


def test_what_cannot_be_ruled_out_is_stopped() -> None:
    """Of a few users a small loss cannot be told from a large one."""
    few, many = (
        passed(
            quality_gates(
                "d",
                scored(users=users),
                scored(
                    lambda p: np.clip(p + np.random.default_rng(4).normal(0, 0.03, p.shape), 0, 1),
                    users,
                ),
                CLICKS,
                CONFIG,
            )
        )["auc"]
        for users in (8, 2000)
    )
    assert (few, many) == (False, True)


def test_one_class_alone_passes_no_gate() -> None:
    none = scored()
    none = none.set_column(1, "label.click", pa.array(np.zeros(len(none))))
    assert not passed(quality_gates("d", none, none, CLICKS, CONFIG))["auc"]
    assert not passed(guess_gates(measure(none), CLICKS))["auc"]
    assert not passed(day_gates(measure(none), [measure(scored())], CLICKS, CONFIG))["auc"]


def test_a_day_of_shuffled_labels_is_told_from_a_usual_one() -> None:
    before = [measure(scored(seed=seed)) for seed in (1, 2, 3)]
    assert passed(day_gates(measure(scored(seed=4)), before, CLICKS, CONFIG))["auc"]
    (gate,) = day_gates(measure(shuffled(scored(seed=4))), before, CLICKS, CONFIG)
    assert not gate.passed
    assert gate.compared is not None
    usual = np.mean([m["click"].metrics["auc"].value for m in before])
    assert gate.compared.bound == pytest.approx(usual - CONFIG.day)
    assert f"{usual:.4f} on the 3 before it" in gate.told


def test_so_many_days_are_looked_back_on() -> None:
    bad, good = measure(shuffled(scored())), measure(scored())
    config = GateConfig(samples=50, look_back=1)
    assert not passed(day_gates(bad, [bad, good], CLICKS, config))["auc"]
    assert passed(day_gates(bad, [good, bad], CLICKS, config))["auc"]
    assert day_gates(good, [], CLICKS, config) == []


def test_a_first_model_must_be_better_than_a_guess() -> None:
    assert passed(guess_gates(measure(scored()), CLICKS))["auc"]
    assert not passed(guess_gates(measure(shuffled(scored())), CLICKS))["auc"]
