"""DESIGN section 4's invariants 3 and 4: a batch is its users, and jagged is padded dense."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rayrank.model.mtgr import MTGR
from rayrank.model.ranker import Ranker
from torch import Tensor

from .dense import dense_logits
from .invariants import EACH, MTGR_MODEL, equal, few, scores
from .rankers import MTGR_CONFIG, Flow, flow, logits_of
from .rows import User, jagged
from .strategies import USERS

# 3. Users do not see each other.


@EACH
@few
@given(users=st.lists(USERS, min_size=1, max_size=4), data=st.data())
def test_scores_ignore_the_rest_of_the_batch_and_its_order(
    model: Ranker, users: list[User], data: st.DataObject
) -> None:
    alone = [scores(model, user) for user in users]
    equal(scores(model, *users), torch.cat(alone))
    order = data.draw(st.permutations(range(len(users))))
    equal(scores(model, *(users[i] for i in order)), torch.cat([alone[i] for i in order]))


@EACH
@few
@given(first=USERS, second=USERS)
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


@few
@given(users=st.lists(USERS, min_size=1, max_size=3))
def test_jagged_equals_padded_dense(users: list[User]) -> None:
    assert isinstance(MTGR_MODEL, MTGR)
    logits = dense_logits(MTGR_MODEL, users, MTGR_CONFIG.attention_length, MTGR_CONFIG.heads)
    equal(scores(MTGR_MODEL, *users), logits.detach())
    # What a caller gets is the same in float32.
    batch = jagged(users)
    torch.testing.assert_close(MTGR_MODEL(batch), logits.float(), rtol=1e-5, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(users=st.lists(USERS, min_size=1, max_size=3))
def test_gradients_equal_those_of_padded_dense(users: list[User]) -> None:
    assert isinstance(MTGR_MODEL, MTGR)

    def gradients(logits: Tensor) -> dict[str, Tensor]:
        weights = torch.linspace(-1, 1, logits.numel(), dtype=torch.float64).view_as(logits)
        MTGR_MODEL.zero_grad()
        (logits * weights).sum().backward()
        return {
            n: torch.zeros_like(p) if p.grad is None else p.grad.clone()
            for n, p in MTGR_MODEL.named_parameters()
        }

    dense = gradients(
        dense_logits(MTGR_MODEL, users, MTGR_CONFIG.attention_length, MTGR_CONFIG.heads)
    )
    ours = gradients(logits_of(MTGR_MODEL, lambda: MTGR_MODEL(jagged(users))))
    assert any((g != 0).any() for n, g in ours.items() if n.startswith("tables."))
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, dense[name], rtol=1e-8, atol=1e-9, msg=name)


def parameter_gradients(model: Ranker, passed: Flow) -> dict[str, Tensor]:
    named = model.dense_parameters()
    found = torch.autograd.grad(
        passed.logits_CK.square().sum(), list(named.values()), allow_unused=True
    )
    return {
        n: torch.zeros_like(p) if g is None else g
        for (n, p), g in zip(named.items(), found, strict=True)
    }
