"""The layout of tokens against a brute force over (user, group, element)."""

from itertools import pairwise

import pytest
import torch
from hstu_kernels import jagged_concat
from hypothesis import given, settings
from hypothesis import strategies as st
from rayrank.data.jagged import JaggedBatch
from rayrank.model.ranker import ModelConfig, Ranker
from rayrank.model.sequence import Mask, Sequence, known_before, realtime_of, sequence
from rayrank.schema import Schema

from ..effort import examples
from .rankers import EACH_CONFIG, ranker
from .rows import NO_PROFILE, SCHEMA, Element, User, behaviour, candidate, features, jagged
from .strategies import USERS

P = len(SCHEMA.features_of("profile"))
PROFILE = features(SCHEMA, "profile", 0)
ALICE = User(
    PROFILE,
    [behaviour(-2, 1), behaviour(-3, 2, sequence="buys")],
    [
        behaviour(1, 3, sequence="buys"),
        behaviour(2, 4),
        behaviour(2, 5, sequence="buys"),
        behaviour(4, 6),
    ],
    [candidate(2, 7), candidate(3, 8), candidate(5, 9)],
)
ONLY_CANDIDATES = User(PROFILE, candidates=[candidate(0, 1), candidate(3, 2)])
NO_STATIC = User(PROFILE, realtime=[behaviour(1, 3)], candidates=[candidate(2, 1)])
NO_REALTIME = User(PROFILE, static=[behaviour(-1, 3)], candidates=[candidate(2, 1)])


def layout(users: list[User], mask: Mask = "dynamic") -> tuple[JaggedBatch, Sequence]:
    batch = jagged(users)
    return batch, sequence(batch, SCHEMA, mask)


def placed(elements_TD: torch.Tensor, found: Sequence) -> torch.Tensor:
    """From all profile, all static views, ... to user after user."""
    return jagged_concat(elements_TD.split(found.segment_tokens), found.segment_offsets)


def brute_force_ends(user: User, profile_features: int) -> list[int]:
    static = profile_features + len(user.static)
    known = [e["known_at"] for e in user.realtime]
    moments = [*known, *(c["time"] for c in user.candidates)]
    return [static] * static + [static + sum(k < moment for k in known) for moment in moments]


def test_an_example_by_hand() -> None:
    _, found = layout([ALICE])
    # 4 profile, a view, a buy; realtime at minutes 1, 2, 2, 4; candidates at 2, 3, 5.
    assert found.offsets.tolist() == [0, 13]
    assert found.group_T.tolist() == [0] * 4 + [1, 2] + [4, 3, 4, 3] + [5] * 3
    assert found.visible_end.tolist() == [6] * 6 + [6, 7, 7, 9] + [7, 9, 10]
    ends = [4, 1, 1, 4, 3]
    assert [offsets.tolist() for offsets in found.segment_offsets] == [[0, end] for end in ends]
    assert found.segment_tokens == tuple(ends)


def test_what_is_static_may_see_what_stands_before_it_alone() -> None:
    """The causal mask: users count from where they start; the window's are as before."""
    _, found = layout([NO_REALTIME, ALICE], "causal")
    of_alice = [*(0, 1, 2, 3, 4, 5), *(6, 7, 7, 9), *(7, 9, 10)]
    assert found.visible_end.tolist() == [*(0, 1, 2, 3, 4), 5, *of_alice]
    prefix = sequence(jagged([ALICE]), SCHEMA, "causal", candidates=False)
    assert prefix.visible_end.tolist() == of_alice[:-3]


@settings(max_examples=examples(50), deadline=None)
@given(users=st.lists(USERS, max_size=5))
def test_layout_equals_brute_force(users: list[User]) -> None:
    batch, found = layout(users)
    order: list[int] = []
    ends: list[int] = []
    groups: list[int] = []
    starts = [0]
    sizes = [
        [
            P,
            *(len(of_sequence(user.static, name)) for name in SCHEMA.sequences),
            len(user.realtime),
            len(user.candidates),
        ]
        for user in users
    ]
    totals = [sum(size[segment] for size in sizes) for segment in range(5)]
    first = [sum(totals[:segment]) for segment in range(5)]
    for user, size in zip(users, sizes, strict=True):
        for segment in range(5):
            order += range(first[segment], first[segment] + size[segment])
            first[segment] += size[segment]
        groups += [0] * P
        groups += [1 + place(e) for e in user.static]
        groups += [3 + place(e) for e in user.realtime]
        groups += [5] * len(user.candidates)
        ends += brute_force_ends(user, P)
        starts.append(len(order))
    element_T1 = torch.arange(batch.tokens)[:, None]
    assert placed(element_T1, found).flatten().tolist() == order
    assert found.group_T.tolist() == groups
    assert found.visible_end.tolist() == ends
    assert found.offsets.tolist() == starts
    causal = sequence(batch, SCHEMA, "causal")
    places = [i for start, end in pairwise(starts) for i in range(end - start)]
    lengths = [P + len(user.static) for user in users for _ in range(sum_of(user))]
    assert causal.visible_end.tolist() == [
        min(place, end) if place < static else end
        for place, end, static in zip(places, ends, lengths, strict=True)
    ]
    assert batch.tokens == len(order)


def sum_of(user: User) -> int:
    return P + len(user.static) + len(user.realtime) + len(user.candidates)


def place(element: Element) -> int:
    return list(SCHEMA.sequences).index(element["sequence"])


def of_sequence(elements: list[Element], name: str) -> list[Element]:
    return [e for e in elements if e["sequence"] == name]


@settings(max_examples=examples(50), deadline=None)
@given(users=st.lists(USERS, max_size=4))
def test_realtime_of_all_sequences_ascends(users: list[User]) -> None:
    batch = jagged(users)
    merged = realtime_of(batch, SCHEMA.realtime)
    assert merged.lengths_B.tolist() == [len(user.realtime) for user in users]
    assert merged.known_at_R.tolist() == [e["known_at"] for user in users for e in user.realtime]
    for name in SCHEMA.sequences:
        one = realtime_of(batch, [group for group in SCHEMA.realtime if group.token == name])
        mine = [of_sequence(user.realtime, name) for user in users]
        assert one.lengths_B.tolist() == [len(elements) for elements in mine]
        assert known_before(one, batch).tolist() == [
            sum(e["known_at"] < c["time"] for e in elements)
            for user, elements in zip(users, mine, strict=True)
            for c in user.candidates
        ]


@pytest.mark.parametrize(
    "users",
    [
        [ONLY_CANDIDATES],
        [NO_STATIC],
        [NO_REALTIME],
        [ONLY_CANDIDATES, ALICE, NO_STATIC],
        [User(PROFILE), ALICE],
    ],
    ids=str,
)
def test_users_who_lack_a_group(users: list[User]) -> None:
    batch, found = layout(users)
    assert found.visible_end.tolist() == [e for u in users for e in brute_force_ends(u, P)]
    assert found.segment_tokens[-1] == batch.candidates


@EACH_CONFIG
def test_an_empty_batch_has_no_scores_and_a_zero_gradient(config: ModelConfig) -> None:
    model: Ranker = ranker(config)
    batch = jagged([])
    logits = model(batch)
    assert logits.shape == (0, len(SCHEMA.tasks))
    loss = model.loss(logits, batch)
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())


@EACH_CONFIG
def test_a_schema_without_profile_features(config: ModelConfig) -> None:
    users = [
        User({}, [behaviour(-1, 1)], [behaviour(1, 2)], [candidate(2, 3)]),
        User({}, candidates=[candidate(0, 4)]),
    ]
    batch = jagged(users, NO_PROFILE)
    found = sequence(batch, NO_PROFILE)
    assert found.offsets.tolist() == [0, 3, 4]
    assert found.visible_end.tolist() == [1, 1, 2, 0]
    model = ranker(config, NO_PROFILE)
    logits = model(batch)
    torch.testing.assert_close(logits[1], model(jagged(users[1:], NO_PROFILE))[0])
    assert torch.isfinite(logits).all()


@EACH_CONFIG
@pytest.mark.parametrize("profile", [True, False])
def test_a_schema_without_sequences(config: ModelConfig, profile: bool) -> None:
    """A ranker of candidates alone, and of a profile."""
    of = {n: f for n, f in SCHEMA.features.items() if {"candidate", "profile"} & {*f.tokens}}
    if not profile:
        of = {n: f for n, f in of.items() if "profile" not in f.tokens}
    schema = SCHEMA.model_copy(update={"sequences": {}, "features": of})
    schema = Schema.model_validate(
        schema.model_dump(mode="json", exclude={"features"})
        | {
            "features": {
                n: f.model_dump(mode="json")
                | {"tokens": [t for t in f.tokens if t not in SCHEMA.sequences]}
                for n, f in of.items()
            }
        }
    )
    of_user = PROFILE if profile else {}
    users = [User(of_user, candidates=[candidate(0, 4), candidate(1, 5)]) for _ in range(2)]
    batch = jagged(users, schema)
    found = sequence(batch, schema)
    static = P if profile else 0
    assert found.offsets.tolist() == [0, static + 2, 2 * (static + 2)]
    assert found.visible_end.tolist() == 2 * [static] * (static + 2)
    model = ranker(config, schema)
    logits = model(batch)
    torch.testing.assert_close(logits[:2], logits[2:])
    vectors = model.lookup(batch)
    stepwise = model.score_candidates(model.encode_prefix(batch, vectors), batch, vectors)
    torch.testing.assert_close(stepwise, logits)
