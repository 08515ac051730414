"""A model's own loss and hook in the trainer's step: real ranks over Gloo, and one process.

The gradient of a loss that is a sum over users is that of all ranks' users together.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from rayrank.embedding.tables import LocalTables
from torch import Tensor

from ..model.rows import SCHEMA, jagged
from .hooks import CONFIG, LARGEST, STEPS, USERS, Hooked

EACH_RANK = pytest.mark.parametrize(("size", "rank"), [(2, 0), (2, 1), (1, 0)])


def saw(world: Path, size: int, rank: int, kind: str = "Hooked") -> dict[str, Any]:
    return torch.load(world / f"hooks-{size}-{rank}.pt")[kind]


def reference() -> tuple[float, float, dict[str, Tensor]]:
    """Loss and auxiliary loss per candidate, and the dense gradient of their sum, of all users."""
    torch.manual_seed(0)
    model = Hooked(SCHEMA, CONFIG, LocalTables(SCHEMA.tables, init_std=0.5, seed=1), {})
    batch = jagged(USERS)
    loss = model.loss(model(batch), batch)
    own = model.auxiliary_loss(batch) / batch.candidates
    (loss + own).backward()
    gradients = {n: p.grad for n, p in model.dense_parameters().items() if p.grad is not None}
    return loss.item(), own.item(), gradients


@EACH_RANK
@pytest.mark.parametrize("kind", ["Hooked", "sharded"])
def test_the_first_gradient_is_that_of_all_users(
    world: Path, size: int, rank: int, kind: str
) -> None:
    seen = saw(world, size, rank, kind)
    loss, own, gradients = reference()
    assert seen["facts"][0]["loss"] == pytest.approx(loss, rel=1e-5)
    assert seen["facts"][0]["auxiliary"] == pytest.approx(own, rel=1e-5)
    assert own > 1
    assert {"guess.weight", "mlp.0.weight", "many"} <= set(gradients)
    for name, gradient in gradients.items():
        # AdamW's first moment after one step, with beta 0.9.
        moment = seen["after"][0]["optimizer"][f"{name}/exp_avg"]
        torch.testing.assert_close(moment / 0.1, gradient, rtol=1e-4, atol=1e-6, msg=name)


@EACH_RANK
def test_the_hook_follows_each_step_and_its_buffers_are_kept(
    world: Path, size: int, rank: int
) -> None:
    average = torch.zeros(1)
    for step, after in enumerate(saw(world, size, rank)["after"]):
        dense = after["dense"]
        assert dense["steps"] == step + 1
        average = average.lerp(dense["guess.bias"], 0.5)
        torch.testing.assert_close(dense["average"], average)
    assert step == STEPS - 1
    assert average != 0


@EACH_RANK
def test_the_hook_sees_parameters_whole_and_changes_them(world: Path, size: int, rank: int) -> None:
    """Where every rank holds them whole, and where each has a share."""
    replicated, sharded = (saw(world, size, rank, kind) for kind in ("Hooked", "sharded"))
    for one, other in zip(replicated["after"], sharded["after"], strict=True):
        assert one["dense"]["guess.weight"].abs().max() == LARGEST
        for part, tensors in one.items():
            assert tensors.keys() == other[part].keys()
            for name, tensor in tensors.items():
                torch.testing.assert_close(other[part][name], tensor, rtol=1e-6, atol=1e-6)
    assert sharded["facts"] == [pytest.approx(facts) for facts in replicated["facts"]]


def test_ranks_stay_alike(world: Path) -> None:
    one, other = (saw(world, 2, rank)["after"][-1] for rank in range(2))
    for part, tensors in one.items():
        for name, tensor in tensors.items():
            assert torch.equal(tensor, other[part][name]), name


@EACH_RANK
def test_a_model_without_one_has_none(world: Path, size: int, rank: int) -> None:
    plain = saw(world, size, rank, "DLRM")
    assert [facts["auxiliary"] for facts in plain["facts"]] == [0.0] * STEPS
    hooked = saw(world, size, rank)["after"][-1]["dense"]
    assert not torch.equal(plain["after"][-1]["dense"]["mlp.0.weight"], hooked["mlp.0.weight"])
