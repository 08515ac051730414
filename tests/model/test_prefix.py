"""DESIGN section 4's fifth invariant: scores from a kept prefix equal scores without it."""

import dataclasses
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import strategies as st
from rayrank.data.jagged import JaggedBatch
from rayrank.embedding.tables import LocalTables
from rayrank.model.ranker import ModelConfig, Ranker
from rayrank.schema import CANDIDATES
from torch import Tensor

from .invariants import EACH, ENCODERS, of_each
from .rankers import CONFIGS, EACH_CONFIG, logits_of, ranker
from .rows import MINUTE, NO_PROFILE, SCHEMA, WINDOW, User, candidate, features, jagged
from .strategies import USERS

WITHOUT_PROFILE = {name: ranker(config, NO_PROFILE) for name, config in CONFIGS.items()}
NOTHING_TO_SCORE = USERS.map(lambda user: replace(user, candidates=[]))
BATCHES = st.lists(st.one_of(USERS, USERS, NOTHING_TO_SCORE), max_size=4)


def two_steps(model: Ranker, known: JaggedBatch, asked: JaggedBatch) -> Tensor:
    """As a server does that keeps prefixes: each step looks up its own ids."""
    before = model.lookup(known, [g for g in model.schema.groups if g != CANDIDATES])
    prefix = model.encode_prefix(known, before)
    return model.score_candidates(prefix, asked, model.lookup(asked, [CANDIDATES]))


def equal(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)


def gradients(model: Ranker, logits_CK: Tensor) -> dict[str, Tensor]:
    """Of a sum with a weight of its own for each logit, tables included."""
    weights = torch.linspace(-1, 1, logits_CK.numel(), dtype=torch.float64).view_as(logits_CK)
    named = dict(model.named_parameters())
    found = torch.autograd.grad((logits_CK * weights).sum(), [*named.values()], allow_unused=True)
    return {
        name: torch.zeros_like(p) if g is None else g
        for (name, p), g in zip(named.items(), found, strict=True)
    }


def assert_two_steps_are_one(model: Ranker, batch: JaggedBatch) -> None:
    whole = logits_of(model, lambda: model(batch))
    stepwise = logits_of(model, lambda: two_steps(model, batch, batch))
    assert stepwise.dtype == torch.float64
    equal(stepwise, whole)
    expected = gradients(model, whole)
    for name, gradient in gradients(model, stepwise).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-10, atol=1e-10, msg=name)


@of_each(users=BATCHES)
def test_encoding_and_scoring_are_the_whole_pass(model: Ranker, users: list[User]) -> None:
    assert_two_steps_are_one(model, jagged(users))


@of_each(WITHOUT_PROFILE, users=BATCHES)
def test_so_they_are_where_users_have_no_profile(model: Ranker, users: list[User]) -> None:
    assert_two_steps_are_one(
        model, jagged([replace(user, profile={}) for user in users], NO_PROFILE)
    )


@of_each(users=BATCHES, seed=st.integers(0, 10_000))
def test_a_prefix_made_before_anything_was_asked_will_do(
    model: Ranker, users: list[User], seed: int
) -> None:
    """It is made without candidates, and they come without the rest."""
    known = [replace(user, candidates=[]) for user in users]
    other = features(SCHEMA, "profile", seed)
    asked = [replace(user, profile=other, static=[], realtime=[]) for user in users]
    stepwise = logits_of(model, lambda: two_steps(model, jagged(known), jagged(asked)))
    equal(stepwise, logits_of(model, lambda: model(jagged(users))))


@of_each(ENCODERS, users=BATCHES, minute=st.integers(0, 6))
def test_a_prefix_goes_on_with_later_events(model: Ranker, users: list[User], minute: int) -> None:
    """What was known before a minute, and then the rest, is the whole."""

    def part(user: User, **others: Any) -> User:
        return replace(user, candidates=[], **others)

    moment = WINDOW + minute * MINUTE
    first = [[e for e in user.realtime if e["known_at"] < moment] for user in users]
    rest = [[e for e in user.realtime if e["known_at"] >= moment] for user in users]
    pairs = zip(users, first, strict=True)
    known = jagged([part(user, realtime=events) for user, events in pairs])
    pairs = zip(users, rest, strict=True)
    new = jagged([part(user, static=[], realtime=events) for user, events in pairs])
    asked = jagged(users)

    def stepwise() -> Tensor:
        prefix = model.encode_prefix(known, model.lookup(known))
        prefix = model.extend_prefix(prefix, new, model.lookup(new, SCHEMA.realtime))
        return model.score_candidates(prefix, asked, model.lookup(asked, [CANDIDATES]))

    equal(logits_of(model, stepwise), logits_of(model, lambda: model(asked)))


@EACH
def test_a_prefix_matters(model: Ranker) -> None:
    """The tests above would pass for a model that ignores it."""
    users = [
        User(features(SCHEMA, "profile", seed), candidates=[candidate(1, 2)]) for seed in (1, 2)
    ]
    one, other = (jagged([user]) for user in users)
    moved = (two_steps(model, one, one) - two_steps(model, other, one)).abs()
    assert moved.min() > 1e-4


@EACH
def test_a_prefix_is_frozen_tensors(model: Ranker) -> None:
    batch = jagged([User(features(SCHEMA, "profile", 1), candidates=[candidate(1, 2)])])
    prefix = model.encode_prefix(batch, model.lookup(batch))
    assert_tensors(prefix)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(prefix, dataclasses.fields(prefix)[0].name, None)


def assert_tensors(value: object) -> None:
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            assert_tensors(getattr(value, field.name))
    elif isinstance(value, tuple):
        for part in value:
            assert_tensors(part)
    else:
        assert isinstance(value, Tensor)


@EACH_CONFIG
def test_under_autocast_too(config: ModelConfig) -> None:
    user = User(features(SCHEMA, "profile", 1), candidates=[candidate(1, 2), candidate(2, 3)])
    batch = jagged([user])
    single = ranker(config).float()
    with torch.autocast("cpu", torch.bfloat16):
        stepwise, whole = two_steps(single, batch, batch), single(batch)
    assert stepwise.dtype == whole.dtype == torch.float32
    torch.testing.assert_close(stepwise, whole, rtol=0.05, atol=0.05)


@EACH
def test_a_pass_asks_the_tables_once(model: Ranker) -> None:
    """TorchRec's fused optimizers update them once for each time they are asked."""
    asked: list[object] = []
    assert isinstance(model.tables, LocalTables)
    handle = model.tables.register_forward_hook(lambda *_: asked.append(1))
    model(jagged([User(features(SCHEMA, "profile", 1), candidates=[candidate(1, 2)])]))
    handle.remove()
    assert len(asked) == 1
