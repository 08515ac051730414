"""One step of two ranks against the mean loss of their batches together, in float64.

Adam divides a gradient by its own size, and row-wise Adagrad too: weights hardly tell what scale
their gradients had. AdamW's first moment and Adagrad's accumulated squares do.
"""

import math
from pathlib import Path

import pytest
import torch
from rayrank.train.worker import dropout_seed
from torch import Tensor

from ..model.rows import User
from .worlds import RANKS, STEPS, Case, State, Truth, at_start, in_float64, mean_loss, saw

BETA_1, BETA_2, EPS = 0.9, 0.99, 1e-8
NUMBERS = pytest.mark.parametrize("number", range(len(STEPS)))
Cases = dict[str, Case]


def union(number: int) -> list[User]:
    """The users of all ranks' batches of a step."""
    return [user for users in STEPS[number] for user in users]


def truth(world: Path, cases: Cases, name: str, number: int) -> Truth:
    """Of the weights that a case's ranks had before a step."""
    before = [saw(world, name, rank)["states"][number] for rank in RANKS]
    return mean_loss(in_float64(cases[name].config, before, training=True), union(number))


def weight(number: int) -> float:
    """A step counts by its candidates, over their mean in the steps up to it; in the mean one that
    lies n steps back counts 0.99^n."""
    shown = [sum(len(u.candidates) for u in union(n)) for n in range(number + 1)]
    past = [0.99 ** (number - n) for n in range(number + 1)]
    mean = sum(w * of for w, of in zip(past, shown, strict=True)) / sum(past)
    return shown[number] / mean


def states(world: Path, name: str, number: int, rank: int) -> tuple[State, State]:
    """Before and after a step, in float64."""
    before, after = saw(world, name, rank)["states"][number : number + 2]
    return before, after


def moments(state: State, which: str) -> dict[str, Tensor]:
    """AdamW's moments by weight; {} before its first step."""
    return {
        name.removesuffix(f"/{which}"): value.double()
        for name, value in state["adamw"].items()
        if name.endswith(f"/{which}")
    }


def added(before: State, after: State, which: str, beta: float) -> dict[str, Tensor]:
    """What a step put into a moment: m' = beta m + (1 - beta) x."""
    old, new = moments(before, which), moments(after, which)
    return {n: (m - beta * old.get(n, torch.zeros_like(m))) / (1 - beta) for n, m in new.items()}


def held(state: State, field: str) -> dict[tuple[str, int], Tensor]:
    """(table, key) -> what one rank holds of it, in float64."""
    return {
        (name, key): value
        for name, rows in state["rows"].items()
        for key, value in zip(rows.keys.tolist(), getattr(rows, field).double(), strict=True)
    }


def close(found: Tensor, expected: Tensor, largest: Tensor | float = 0.0) -> None:
    """To float32's precision, of the largest number around."""
    size = max(float(expected.abs().max()), float(largest))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * size + 1e-12)


def test_batches_are_uneven() -> None:
    candidates = [[sum(len(u.candidates) for u in users) for users in step] for step in STEPS]
    assert candidates == [[12, 1], [2, 9], [5, 0]]
    known = [
        [sum(c[f"label.{task}"] in (0, 1) for u in users for c in u.candidates) for users in step]
        for task in ("click", "order")
        for step in STEPS
    ]
    assert known == [[10, 1], [2, 8], [4, 0], [8, 1], [1, 6], [3, 0]]


@NUMBERS
def test_the_dense_gradient_is_that_of_the_union(world: Path, cases: Cases, number: int) -> None:
    expected = truth(world, cases, "plain", number)
    for rank in RANKS:
        before, after = states(world, "plain", number, rank)
        found = added(before, after, "exp_avg", BETA_1)
        squares = added(before, after, "exp_avg_sq", BETA_2)
        assert found.keys() == expected.dense.keys()
        for name, whole in expected.dense.items():
            gradient = weight(number) * whole
            close(found[name], gradient, 0.1)
            close(squares[name], gradient.square(), 0.01)


@NUMBERS
def test_the_tables_gradient_is_that_of_the_union(world: Path, cases: Cases, number: int) -> None:
    """Row-wise Adagrad adds the mean square of a row's gradient, and moves the row by rate times
    the gradient over the root of the sum so far."""
    expected = truth(world, cases, "plain", number)
    rate = cases["plain"].config.train.table_learning_rate
    seen: set[tuple[str, int]] = set()
    for rank in RANKS:
        before, after = states(world, "plain", number, rank)
        old, squares = held(before, "momentum"), held(after, "momentum")
        was, learned = held(before, "vectors"), held(after, "vectors")
        assert seen.isdisjoint(learned)
        seen |= learned.keys()
        for row, vector in learned.items():
            gradient = weight(number) * expected.rows.get(row, torch.zeros_like(vector))
            square = gradient.square().mean()
            close(squares[row], old.get(row, torch.zeros(()).double()) + square)
            step = rate * gradient / (squares[row].sqrt() + EPS)
            close(vector, was.get(row, torch.zeros_like(vector)) - step, rate)
    assert seen >= expected.rows.keys()


@NUMBERS
def test_a_step_tells_the_loss_and_the_counts_of_the_union(
    world: Path, cases: Cases, number: int
) -> None:
    users = union(number)
    expected = {
        "loss": pytest.approx(truth(world, cases, "plain", number).loss, rel=1e-5),
        "candidates": sum(len(u.candidates) for u in users),
        # Four features of a profile are four tokens.
        "tokens": sum(4 + len(u.static + u.realtime + u.candidates) for u in users),
        "users": len(users),
        "auxiliary": 0.0,
        "gradient_norm": pytest.approx(truth(world, cases, "plain", number).norm(), rel=1e-5),
        "loss_scale": 1.0,
        "warned": 1,  # rank 1 was
    }
    for rank in RANKS:
        facts = saw(world, "plain", rank)["facts"][number]
        assert {name: facts[name] for name in expected} == expected


def test_ranks_hold_the_same_weights(world: Path, cases: Cases) -> None:
    for name in cases:
        for one, other in zip(*(saw(world, name, rank)["states"] for rank in RANKS), strict=True):
            for part in ("dense", "adamw"):
                assert one[part].keys() == other[part].keys()
                assert all(torch.equal(one[part][n], other[part][n]) for n in one[part])


def test_weights_start_as_the_seed_says(world: Path, cases: Cases) -> None:
    alone = at_start(cases["plain"].config).state_dict()
    for rank in RANKS:
        for name, value in saw(world, "plain", rank)["states"][0]["dense"].items():
            assert torch.equal(value, alone[name]), name


def test_a_gradient_over_the_bound_is_scaled_to_it(world: Path, cases: Cases) -> None:
    """Dense parameters and rows together."""
    expected, bound = truth(world, cases, "over", 0), cases["over"].config.train.clip_norm
    assert expected.norm() == pytest.approx(2 * bound)
    for rank in RANKS:
        before, after = states(world, "over", 0, rank)
        found = added(before, after, "exp_avg", BETA_1)
        for name, gradient in expected.dense.items():
            close(found[name], gradient / 2, 0.1)
        for row, square in held(after, "momentum").items():
            close(square, (expected.rows[row] / 2).square().mean())
        assert saw(world, "over", rank)["facts"][0]["gradient_norm"] == pytest.approx(2 * bound)


def test_a_gradient_under_the_bound_is_left_alone(world: Path, cases: Cases) -> None:
    expected, bound = truth(world, cases, "under", 0), cases["under"].config.train.clip_norm
    assert expected.norm() == pytest.approx(bound / 1.01)
    for rank in RANKS:
        found = added(*states(world, "under", 0, rank), "exp_avg", BETA_1)
        for name, gradient in expected.dense.items():
            close(found[name], gradient, 0.1)
        for row, square in held(states(world, "under", 0, rank)[1], "momentum").items():
            close(square, expected.rows[row].square().mean())


def test_float16_skips_steps_that_overflow_until_the_scale_is_small_enough(
    world: Path, cases: Cases
) -> None:
    """Candidates are few here, and gradients large: at 2^16 they overflow."""
    seen = saw(world, "float16", 0)
    finite = [math.isfinite(facts["gradient_norm"]) for facts in seen["facts"]]
    first = finite.index(True)
    assert first > 0
    assert all(finite[first:])
    scales = [facts["loss_scale"] for facts in seen["facts"]]
    assert scales == [2.0 ** (16 - min(step, first)) for step in range(len(scales))]
    expected = truth(world, cases, "float16", 0)
    largest = max(float(g.abs().max()) for g in expected.dense.values())
    for rank in RANKS:
        seen = saw(world, "float16", rank)
        for name, weight in seen["states"][first]["dense"].items():
            assert torch.equal(weight, seen["states"][0]["dense"][name]), "skipped"
        assert not any(v.any() for v in held(seen["states"][first], "vectors").values())
        found = added(*states(world, "float16", first, rank), "exp_avg", BETA_1)
        for name, gradient in expected.dense.items():
            assert float((found[name] - gradient).abs().max()) < 0.01 * largest, name


def test_rates_rise_then_fall(world: Path, cases: Cases) -> None:
    """Three steps of warm-up, a last rate of a fifth."""
    assert cases["scheduled"].rates == [
        (0, 0.0),
        (1, 0.0),
        (2, 0.0),
        (3, 0.0),
        (9, 0.5),
        (9, 1.0),
        (1, 0.5),
    ]
    for rank in RANKS:
        found = saw(world, "scheduled", rank)["rates"]
        assert found == pytest.approx([0.25, 0.5, 0.75, 1.0, 0.6, 0.2, 0.5 * 0.6])


def test_a_weight_moves_by_its_steps_rate_and_decays(world: Path, cases: Cases) -> None:
    """AdamW's first step: p (1 - rate x decay) - rate x g / (|g| + eps)."""
    expected, config = truth(world, cases, "scheduled", 0), cases["scheduled"].config.train
    rate = 0.01 * 0.3
    assert (config.learning_rate, config.weight_decay) == (0.01, 0.5)
    for rank in RANKS:
        before, after = states(world, "scheduled", 0, rank)
        for name, gradient in expected.dense.items():
            weight = before["dense"][name].double()
            moved = weight * (1 - rate * 0.5) - rate * gradient / (gradient.abs() + EPS)
            # Where float32 cannot tell the sign of a gradient, neither can this.
            clear = gradient.abs() > 1e-5
            found = after["dense"][name].double()
            torch.testing.assert_close(found[clear], moved[clear], rtol=1e-6, atol=2e-3 * rate)
        assert sum(int((g.abs() > 1e-5).sum()) for g in expected.dense.values()) > 5000


def test_a_row_moves_by_its_steps_rate(world: Path, cases: Cases) -> None:
    """On its first step a row moves by the rate, root mean square, against its gradient."""
    expected = truth(world, cases, "scheduled", 0)
    rate = 0.05 * 0.3
    assert cases["scheduled"].config.train.table_learning_rate == 0.05
    for rank in RANKS:
        _, after = states(world, "scheduled", 0, rank)
        for row, vector in held(after, "vectors").items():
            gradient = expected.rows[row]
            if not gradient.any():  # seen only by a candidate of whom nothing is known
                assert not vector.any()
                continue
            assert vector.square().mean().sqrt() == pytest.approx(rate, rel=1e-4)
            close(vector, -rate * gradient / gradient.square().mean().sqrt(), rate)


def test_ranks_drop_different_parts_of_the_same_rows(world: Path, cases: Cases) -> None:
    plain, dropped = ([saw(world, c, r)["logits"] for r in RANKS] for c in ("plain", "dropout"))
    for logits in (plain[0][1], *plain[1]):
        assert torch.equal(logits, plain[0][0])
    # Each rank's two passes, and the other's: all four differ in every row.
    passes = [logits for of_rank in dropped for logits in of_rank]
    for i, one in enumerate(passes):
        for other in passes[i + 1 :]:
            assert (one != other).any(dim=1).all()


def test_no_two_seeds_and_ranks_share_their_dropout() -> None:
    seeds = [dropout_seed(seed, rank) for seed in range(50) for rank in range(200)]
    assert len(set(seeds)) == 50 * 200
