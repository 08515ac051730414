"""DESIGN section 4's invariants 3 and 4: a batch is its users, and jagged is padded dense."""

import torch
from hypothesis import strategies as st
from rayrank.model.mtgr import MTGR, EncoderConfig
from rayrank.model.ranker import Ranker
from torch import Tensor

from .dense import dense_logits
from .invariants import ENCODERS, equal, of_each, scores
from .rankers import CONFIGS, Flow, flow, logits_of
from .rows import User, jagged
from .strategies import USERS

# 3. Users do not see each other.


@of_each(users=st.lists(USERS, min_size=1, max_size=4), data=st.data())
def test_scores_ignore_the_rest_of_the_batch_and_its_order(
    model: Ranker, users: list[User], data: st.DataObject
) -> None:
    alone = [scores(model, user) for user in users]
    equal(scores(model, *users), torch.cat(alone))
    order = data.draw(st.permutations(range(len(users))))
    equal(scores(model, *(users[i] for i in order)), torch.cat([alone[i] for i in order]))


@of_each(first=USERS, second=USERS)
def test_gradients_of_a_batch_are_the_sum_of_its_users(
    model: Ranker, first: User, second: User
) -> None:
    together = parameter_gradients(model, flow(model, jagged([first, second])))
    apart = [parameter_gradients(model, flow(model, jagged([user]))) for user in (first, second)]
    for name, gradient in together.items():
        torch.testing.assert_close(
            gradient, apart[0][name] + apart[1][name], rtol=1e-8, atol=1e-9, msg=name
        )


# 4. Jagged is padded dense.


def dense(model: Ranker, users: list[User]) -> Tensor:
    (config,) = (CONFIGS[name] for name, one in ENCODERS.items() if one is model)
    assert isinstance(model, MTGR)
    assert isinstance(config, EncoderConfig)
    return dense_logits(model, users, config)


@of_each(ENCODERS, users=st.lists(USERS, min_size=1, max_size=3))
def test_jagged_equals_padded_dense(model: Ranker, users: list[User]) -> None:
    logits = dense(model, users)
    equal(scores(model, *users), logits.detach())
    # What a caller gets is the same in float32.
    batch = jagged(users)
    torch.testing.assert_close(model(batch), logits.float(), rtol=1e-5, atol=1e-6)


@of_each(ENCODERS, 20, users=st.lists(USERS, min_size=1, max_size=3))
def test_gradients_equal_those_of_padded_dense(model: Ranker, users: list[User]) -> None:
    def gradients(logits: Tensor) -> dict[str, Tensor]:
        weights = torch.linspace(-1, 1, logits.numel(), dtype=torch.float64).view_as(logits)
        model.zero_grad()
        (logits * weights).sum().backward()
        return {
            n: torch.zeros_like(p) if p.grad is None else p.grad.clone()
            for n, p in model.named_parameters()
        }

    expected = gradients(dense(model, users))
    ours = gradients(logits_of(model, lambda: model(jagged(users))))
    assert any((g != 0).any() for n, g in ours.items() if n.startswith("tables."))
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-8, atol=1e-9, msg=name)


def parameter_gradients(model: Ranker, passed: Flow) -> dict[str, Tensor]:
    named = model.dense_parameters()
    found = torch.autograd.grad(
        passed.logits_CK.square().sum(), list(named.values()), allow_unused=True
    )
    return {
        n: torch.zeros_like(p) if g is None else g
        for (n, p), g in zip(named.items(), found, strict=True)
    }
