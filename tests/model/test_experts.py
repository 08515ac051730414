"""MoE, MMoE and PLE: their formulas, their cost, and which task may learn from which expert."""

import pytest
import torch
from rayrank.model.mmoe import MMoE, MMoEConfig
from rayrank.model.moe import MoE, MoEConfig
from rayrank.model.ple import PLE, PLEConfig
from rayrank.model.pooled import Pooled
from rayrank.model.ranker import ModelConfig
from rayrank.model.segments import layouts_of
from torch import Tensor

from .family import USERS, Weights, fitted, product_toy, rows, weights
from .rankers import logits_of, ranker
from .rows import SCHEMA, User, jagged
from .test_flops import BATCH, counted

TASKS = len(SCHEMA.tasks)
MOE = MoEConfig(experts=3, expert_hidden=[12, 8])
MMOE = MMoEConfig(experts=3, expert_hidden=[12, 8], tower_hidden=[4])
PLES = {
    n: PLEConfig(levels=n, shared_experts=3, own_experts=2, expert_hidden=[8], tower_hidden=[4])
    for n in (1, 2, 3)
}
ALL: list[ModelConfig] = [MOE, MMOE, *PLES.values()]
EACH = pytest.mark.parametrize("config", ALL, ids=["moe", "mmoe", *(f"ple {n}" for n in PLES)])


def mixture(of: Weights, gate: str, x_D: Tensor, experts: list[Tensor]) -> Tensor:
    """sum over i of softmax(W x)_i expert_i, one expert after the other."""
    powers = of.linear(f"{gate}.weigh", x_D).exp()
    shares = powers / powers.sum()
    assert len(shares) == len(experts)
    return torch.stack([share * e_H for share, e_H in zip(shares, experts, strict=True)]).sum(0)


def of_moe(of: Weights, x_D: Tensor) -> Tensor:
    """One mixture, of which each task reads all."""
    experts = [of.mlp(f"experts.each.{i}", 2, x_D) for i in range(3)]
    return of.linear("heads", mixture(of, "gate", x_D, experts))


def of_mmoe(of: Weights, x_D: Tensor) -> Tensor:
    experts = [of.mlp(f"experts.each.{i}", 2, x_D) for i in range(3)]
    mixed = [mixture(of, f"gates.{k}", x_D, experts) for k in range(TASKS)]
    return torch.cat([of.mlp(f"towers.each.{k}", 2, m, ends=True) for k, m in enumerate(mixed)])


def of_ple(of: Weights, levels: int, x_D: Tensor) -> Tensor:
    inputs = [x_D] * (TASKS + 1)  # of each task, and the shared one
    for n in range(levels):
        here = f"levels.{n}"
        own = [
            [of.mlp(f"{here}.own.{k}.each.{i}", 1, inputs[k]) for i in range(2)]
            for k in range(TASKS)
        ]
        shared = [of.mlp(f"{here}.shared.each.{i}", 1, inputs[-1]) for i in range(3)]
        mixed = [mixture(of, f"{here}.gates.{k}", inputs[k], own[k] + shared) for k in range(TASKS)]
        if n < levels - 1:
            everything = [e for of_task in own for e in of_task] + shared
            mixed.append(mixture(of, f"{here}.shared_gate", inputs[-1], everything))
        inputs = mixed
    return torch.cat([of.mlp(f"towers.each.{k}", 2, m, ends=True) for k, m in enumerate(inputs)])


@EACH
def test_it_is_the_papers(config: ModelConfig) -> None:
    model = ranker(config)
    assert isinstance(model, Pooled)
    of = weights(model)
    formula = of_mmoe if isinstance(config, MMoEConfig) else of_moe
    expected = torch.stack(
        [
            of_ple(of, config.levels, x_D) if isinstance(config, PLEConfig) else formula(of, x_D)
            for x_D in rows(model, USERS)
        ]
    )
    actual = logits_of(model, lambda: model(jagged(USERS)))
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)
    assert (expected.std(0) > 1e-5).all()


def test_what_an_moe_costs() -> None:
    model = ranker(MOE)
    assert isinstance(model, MoE)
    D = model.width
    expected = BATCH.candidates * 2 * (3 * (D * 12 + 12 * 8) + (D * 3 + 3 * 8) + 8 * TASKS)
    assert int(model.forward_flops(BATCH)) == expected == counted(lambda: model(BATCH))


def test_what_an_mmoe_costs() -> None:
    model = ranker(MMOE)
    assert isinstance(model, MMoE)
    D = model.width
    experts = 3 * 2 * (D * 12 + 12 * 8)
    gates = TASKS * 2 * (D * 3 + 3 * 8)
    towers = TASKS * 2 * (8 * 4 + 4 * 1)
    expected = BATCH.candidates * (experts + gates + towers)
    assert int(model.forward_flops(BATCH)) == expected == counted(lambda: model(BATCH))


@pytest.mark.parametrize("levels", PLES)
def test_what_a_ple_costs(levels: int) -> None:
    model = ranker(PLES[levels])
    assert isinstance(model, PLE)
    expected = 0
    for n in range(levels):
        D = model.width if n == 0 else 8
        expected += (TASKS * 2 + 3) * 2 * D * 8  # experts
        expected += TASKS * 2 * (D * 5 + 5 * 8)  # a task's gate: two of its own, three shared
        expected += 0 if n == levels - 1 else 2 * (D * 7 + 7 * 8)  # the shared one: all seven
    expected += TASKS * 2 * (8 * 4 + 4 * 1)
    expected *= BATCH.candidates
    assert int(model.forward_flops(BATCH)) == expected == counted(lambda: model(BATCH))


@pytest.mark.parametrize("levels", PLES)
def test_an_own_expert_learns_of_its_task_and_others_only_through_the_shared(levels: int) -> None:
    model = ranker(PLES[levels])
    for task in range(TASKS):
        model.zero_grad()
        model(BATCH)[:, task].sum().backward()
        for name, parameter in model.dense_parameters().items():
            _, level, part, number, *_ = [*name.split("."), *[""] * 3]
            if not name.startswith("levels."):
                continue
            reached = parameter.grad is not None and bool(parameter.grad.any())
            own = part in ("own", "gates")
            # The shared gate of a level takes from all experts; what a gate mixed, one level later.
            indirect = int(level) < levels - (1 if part == "own" else 2)
            assert reached == (not own or int(number) == task or indirect), name


def test_every_parameter_takes_part() -> None:
    """A rank whose gradient is missing would keep the others waiting."""
    for config in ALL:
        model = ranker(config)
        model.loss(model(BATCH), BATCH).backward()
        assert all(p.grad is not None for p in model.dense_parameters().values())


def test_columns_and_experts_have_names() -> None:
    moe, mmoe, ple = (ranker(config) for config in (MOE, MMOE, PLES[2]))
    assert isinstance(moe, MoE)
    found = layouts_of(moe, SCHEMA.groups)
    assert found["gate.weigh.weight"] == ([("experts", 3)], moe.columns)
    assert found["heads.weight"] == ([("click", 1), ("order", 1)], None)
    assert isinstance(mmoe, MMoE)
    found = layouts_of(mmoe, SCHEMA.groups)
    assert found["experts.each.2.0.weight"] == (None, mmoe.columns)
    assert found["gates.1.weigh.weight"] == ([("shared", 3)], mmoe.columns)
    found = layouts_of(ple, SCHEMA.groups)
    mixed = [("mixture()", 8)]
    assert found["levels.0.own.1.each.0.0.weight"] == (None, mmoe.columns)
    assert found["levels.1.shared.each.0.0.weight"] == (None, mixed)
    assert found["levels.1.gates.0.weigh.weight"] == ([("own", 2), ("shared", 3)], mixed)
    of_all = [("click", 2), ("order", 2), ("shared", 3)]
    assert found["levels.0.shared_gate.weigh.weight"] == (of_all, mmoe.columns)


def opposed() -> list[User]:
    """Clicked where two numbers are of one sign; ordered, of what is clicked, where one of them is
    positive."""

    def labelled(shown: dict[str, object]) -> dict[str, object]:
        ordered = shown["label.click"] and float(shown["distance"]) > 0  # type: ignore[arg-type]
        return shown | {"label.order": float(bool(ordered))}

    return [
        User(user.profile, candidates=[labelled(c) for c in user.candidates])
        for user in product_toy()
    ]


@EACH
def test_it_learns_both_tasks(config: ModelConfig) -> None:
    before, after = fitted(config, opposed(), steps=80)
    assert before > 0.6
    assert after < 0.3
