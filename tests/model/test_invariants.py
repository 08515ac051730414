"""DESIGN section 4's invariants 1 and 2: what a token may see, on the whole model in float64,
forward and backward."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rayrank.model.ranker import Ranker
from torch import Tensor

from ..effort import examples
from .invariants import MODELS, MTGR_MODEL, equal, few, of_each, scores
from .rankers import flow
from .rows import MINUTE, SCHEMA, WINDOW, Element, User, jagged
from .strategies import BEHAVIOURS, CANDIDATES, USERS

P = len(SCHEMA.features_of("profile"))
Place = tuple[int, str, int]
"""(user, group, place in its group): a token."""


# 1. Candidates do not see each other.


@of_each(user=USERS, others=st.lists(CANDIDATES, max_size=4), data=st.data())
def test_a_score_ignores_the_other_candidates(
    model: Ranker, user: User, others: list[Element], data: st.DataObject
) -> None:
    together = scores(model, user)
    for c, shown in enumerate(user.candidates):
        equal(scores(model, replace(user, candidates=[shown]))[0], together[c])

    order = data.draw(st.permutations([*user.candidates, *others]))
    shuffled = scores(model, replace(user, candidates=order))
    for c, shown in enumerate(user.candidates):
        place = next(i for i, other in enumerate(order) if other is shown)
        equal(shuffled[place], together[c])


@of_each(user=USERS)
def test_a_score_has_no_gradient_in_other_candidates(model: Ranker, user: User) -> None:
    batch = jagged([user])
    passed = flow(model, batch)
    for c in range(len(user.candidates)):
        gradient = grad(passed.logits_CK[c], passed.vectors["item"])
        of_item = gradient[-batch.candidates :]  # looked up last
        assert (of_item[c] != 0).any()
        of_item[c] = 0
        assert (of_item == 0).all()


# 2. No token sees its own moment's other events, or anything later.


def minute_of(element: Element) -> int:
    at = element["known_at"] if "known_at" in element else element["time"]
    return int(at - WINDOW) // MINUTE


@of_each(
    user=USERS, events=st.lists(BEHAVIOURS, max_size=5), shown=st.lists(CANDIDATES, max_size=3)
)
def test_nothing_at_or_after_a_candidate_moves_its_score(
    model: Ranker, user: User, events: list[Element], shown: list[Element]
) -> None:
    """Leakage: its whole future is exchanged for another one, and the score stays."""
    before = scores(model, user)
    for c, candidate in enumerate(user.candidates):
        past, _ = split(user.realtime, candidate)
        other = replace(
            user,
            realtime=[*past, *(e for e in events if minute_of(e) >= minute_of(candidate))],
            candidates=[candidate, *(s for s in shown if minute_of(s) >= minute_of(candidate))],
        ).ascending()
        place = next(i for i, one in enumerate(other.candidates) if one is candidate)
        equal(scores(model, other)[place], before[c])


@few
@given(user=USERS, events=st.lists(BEHAVIOURS, max_size=5), shown=st.lists(CANDIDATES, max_size=3))
def test_nothing_at_or_after_a_realtime_event_moves_its_output(
    user: User, events: list[Element], shown: list[Element]
) -> None:
    before = outputs(user)
    static = P + len(user.static)
    for r, event in enumerate(user.realtime):
        past, _ = split(user.realtime, event)
        other = replace(
            user,
            realtime=[*past, event, *(e for e in events if minute_of(e) >= minute_of(event))],
            candidates=shown,
        ).ascending()
        after = outputs(other)
        place = next(i for i, one in enumerate(other.realtime) if one is event)
        equal(after[static + place], before[static + r])
        equal(after[: static + len(past)], before[: static + len(past)])


@few
@given(user=USERS, events=st.lists(BEHAVIOURS, max_size=5), shown=st.lists(CANDIDATES, max_size=3))
def test_static_tokens_see_nothing_of_the_window(
    user: User, events: list[Element], shown: list[Element]
) -> None:
    static = P + len(user.static)
    other = replace(user, realtime=events, candidates=shown).ascending()
    equal(outputs(other)[:static], outputs(user)[:static])


@of_each(user=USERS, later=st.integers(0, 10**6))
def test_shifting_the_future_moves_no_score(model: Ranker, user: User, later: int) -> None:
    before = scores(model, user)
    for c, shown in enumerate(user.candidates):
        past, future = split(user.realtime, shown)
        shifted = [
            e | {"known_at": e["known_at"] + i * later, "item_id": e["item_id"] + 1}
            for i, e in enumerate(future)
        ]
        equal(scores(model, replace(user, realtime=[*past, *shifted]))[c], before[c])


def test_the_past_does_move_scores() -> None:
    """The tests above would pass for a model that sees nothing."""
    user = User(
        profile=one_profile(),
        realtime=[one_behaviour(0, 1)],
        candidates=[one_candidate(1, 2), one_candidate(0, 2)],
    )
    without = replace(user, realtime=[])
    for model in MODELS.values():
        moved = (scores(model, user) - scores(model, without)).abs()
        assert moved[0].min() > 1e-4  # known a minute before it was shown
        assert moved[1].max() < 1e-12  # known at the moment it was shown


@pytest.mark.parametrize("name", ["mtgr", "ablated"])
@settings(max_examples=examples(10), deadline=None)
@given(users=st.lists(USERS, min_size=1, max_size=2))
def test_gradients_reach_what_the_mask_allows_and_nothing_else(
    name: str, users: list[User]
) -> None:
    passed = flow(MODELS[name], jagged(users))
    assert passed.inputs_TD is not None
    assert passed.outputs_TD is not None
    by_segment = [
        (u, g, i)
        for g, sequence in SEGMENTS
        for u, user in enumerate(users)
        for i in places(user, g, sequence)
    ]
    by_user = [
        (u, g, i)
        for u, user in enumerate(users)
        for g, sequence in SEGMENTS
        for i in places(user, g, sequence)
    ]
    direction = torch.randn(
        passed.outputs_TD.shape[1], dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    for t, query in enumerate(by_user):
        gradient = grad(passed.outputs_TD[t] @ direction, passed.inputs_TD)
        for row, key in enumerate(by_segment):
            reached = bool((gradient[row] != 0).any())
            behind = name == "ablated" and both_static(query, key) and t < by_user.index(key)
            assert reached == (may_see(users, query, key) and not behind), (query, key)


SEGMENTS = [
    ("profile", None),
    ("static", "views"),
    ("static", "buys"),
    ("realtime", None),
    ("candidates", None),
]


def places(user: User, group: str, sequence: str | None) -> list[int]:
    """Of a user's tokens in a group (of one sequence, if said)."""
    if group == "profile":
        return list(range(P))
    elements = getattr(user, group)
    return [i for i, e in enumerate(elements) if sequence in (None, e.get("sequence"))]


def both_static(query: Place, key: Place) -> bool:
    return {query[1], key[1]} <= {"profile", "static"}


def may_see(users: list[User], query: Place, key: Place) -> bool:
    """DESIGN section 4's table."""
    if query[0] != key[0]:
        return False
    if query == key or key[1] in ("profile", "static"):
        return True
    if query[1] in ("profile", "static") or key[1] == "candidates":
        return False
    user = users[query[0]]
    asking = getattr(user, query[1])[query[2]]
    return bool(minute_of(user.realtime[key[2]]) < minute_of(asking))


# Helpers.


def outputs(user: User) -> Tensor:
    kept = flow(MTGR_MODEL, jagged([user])).outputs_TD
    assert kept is not None
    return kept.detach()


def split(events: list[Element], at: Element) -> tuple[list[Element], list[Element]]:
    """Events known strictly before `at`, and the others but itself."""
    moment = minute_of(at)
    return (
        [e for e in events if minute_of(e) < moment],
        [e for e in events if minute_of(e) >= moment and e is not at],
    )


def grad(output: Tensor, wanted: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(output.sum(), wanted, retain_graph=True)
    return gradient


def one_profile() -> Element:
    return {"city": 1, "langs": [2], "age": 1, "income": 0.5}


def one_behaviour(minute: int, seed: int) -> Element:
    at = WINDOW + minute * MINUTE
    return {
        "sequence": "views",
        "time": at,
        "known_at": at,
        "item_id": seed,
        "tags": [seed],
        "price": 1,
        "watched": 1.0,
        "click": 1,
    }


def one_candidate(minute: int, seed: int) -> Element:
    return {
        "time": WINDOW + minute * MINUTE,
        "item": str(seed),
        "item_id": seed,
        "tags": [seed],
        "price": 2,
        "distance": 0.5,
        "ctr": 0.1,
        "label.click": 1.0,
        "label.order": 0.0,
    }
