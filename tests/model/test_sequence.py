"""The layout of tokens against a brute force over (user, group, element)."""

import pytest
import torch
from hstu_kernels import jagged_concat
from hypothesis import given, settings
from hypothesis import strategies as st
from rayrank.data.jagged import GROUPS, JaggedBatch
from rayrank.model.ranker import Ranker
from rayrank.model.sequence import Sequence, sequence

from .rankers import DLRM_CONFIG, MTGR_CONFIG, ranker
from .rows import NO_PROFILE, SCHEMA, User, behaviour, candidate, features, jagged
from .strategies import USERS

P = len(SCHEMA.features_of("profile"))
PROFILE = features(SCHEMA, "profile", 0)
ALICE = User(
    PROFILE,
    [behaviour(-2, 1), behaviour(-1, 2)],
    [behaviour(1, 3), behaviour(2, 4), behaviour(2, 5), behaviour(4, 6)],
    [candidate(2, 7), candidate(3, 8), candidate(5, 9)],
)
ONLY_CANDIDATES = User(PROFILE, candidates=[candidate(0, 1), candidate(3, 2)])
NO_HISTORY = User(PROFILE, realtime=[behaviour(1, 3)], candidates=[candidate(2, 1)])
NO_REALTIME = User(PROFILE, history=[behaviour(-1, 3)], candidates=[candidate(2, 1)])


def layout(users: list[User]) -> tuple[JaggedBatch, Sequence]:
    batch = jagged(users)
    return batch, sequence(batch, P)


def placed(elements_TD: torch.Tensor, found: Sequence) -> torch.Tensor:
    """From all profile, all history, ... to user after user."""
    return jagged_concat(elements_TD.split(found.group_tokens), found.group_offsets)


def brute_force_ends(user: User, profile_features: int) -> list[int]:
    static = profile_features + len(user.history)
    known = [e["known_at"] for e in user.realtime]
    moments = [*known, *(c["time"] for c in user.candidates)]
    return [static] * static + [static + sum(k < moment for k in known) for moment in moments]


def test_an_example_by_hand() -> None:
    _, found = layout([ALICE])
    # 4 profile, 2 history; realtime at minutes 1, 2, 2, 4; candidates at 2, 3, 5.
    assert found.offsets.tolist() == [0, 13]
    assert found.group_T.tolist() == [0] * 4 + [1] * 2 + [2] * 4 + [3] * 3
    assert found.visible_end.tolist() == [6] * 6 + [6, 7, 7, 9] + [7, 9, 10]
    assert [offsets.tolist() for offsets in found.group_offsets] == [[0, 4], [0, 2], [0, 4], [0, 3]]
    assert found.group_tokens == (4, 2, 4, 3)


@settings(max_examples=100, deadline=None)
@given(users=st.lists(USERS, max_size=5))
def test_layout_equals_brute_force(users: list[User]) -> None:
    batch, found = layout(users)
    order: list[int] = []
    ends: list[int] = []
    groups: list[int] = []
    starts = [0]
    first = {g: sum(batch.counts[h] for h in GROUPS[:i]) for i, g in enumerate(GROUPS)}
    for user in users:
        for g, group in enumerate(GROUPS):
            elements = P if group == "profile" else len(getattr(user, group))
            order += range(first[group], first[group] + elements)
            first[group] += elements
            groups += [g] * elements
        ends += brute_force_ends(user, P)
        starts.append(len(order))
    element_T1 = torch.arange(batch.tokens)[:, None]
    assert placed(element_T1, found).flatten().tolist() == order
    assert found.group_T.tolist() == groups
    assert found.visible_end.tolist() == ends
    assert found.offsets.tolist() == starts
    assert batch.tokens == len(order)


@pytest.mark.parametrize(
    "users",
    [
        [ONLY_CANDIDATES],
        [NO_HISTORY],
        [NO_REALTIME],
        [ONLY_CANDIDATES, ALICE, NO_HISTORY],
        [User(PROFILE), ALICE],
    ],
    ids=str,
)
def test_users_who_lack_a_group(users: list[User]) -> None:
    batch, found = layout(users)
    assert found.visible_end.tolist() == [e for u in users for e in brute_force_ends(u, P)]
    assert found.group_tokens[3] == batch.candidates


@pytest.mark.parametrize("config", [MTGR_CONFIG, DLRM_CONFIG], ids=["mtgr", "dlrm"])
def test_an_empty_batch_has_no_scores_and_a_zero_gradient(config: object) -> None:
    model: Ranker = ranker(config)  # type: ignore[arg-type]
    batch = jagged([])
    logits = model(batch)
    assert logits.shape == (0, len(SCHEMA.tasks))
    loss = model.loss_sum(logits, batch)
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())


@pytest.mark.parametrize("config", [MTGR_CONFIG, DLRM_CONFIG], ids=["mtgr", "dlrm"])
def test_a_schema_without_profile_features(config: object) -> None:
    users = [
        User({}, [behaviour(-1, 1)], [behaviour(1, 2)], [candidate(2, 3)]),
        User({}, candidates=[candidate(0, 4)]),
    ]
    batch = jagged(users, NO_PROFILE)
    found = sequence(batch, 0)
    assert found.offsets.tolist() == [0, 3, 4]
    assert found.visible_end.tolist() == [1, 1, 2, 0]
    model = ranker(config, NO_PROFILE)  # type: ignore[arg-type]
    logits = model(batch)
    torch.testing.assert_close(logits[1], model(jagged(users[1:], NO_PROFILE))[0])
    assert torch.isfinite(logits).all()
