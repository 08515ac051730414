"""Users who come again: what is kept of them changes no score, and what it holds is bounded."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rayrank.infer.bundle import Bundle, load_bundle
from rayrank.infer.engine import Engine
from rayrank.model.prefix import kept_bytes

from ..effort import examples
from ..model.rows import SCHEMA, User, behaviour, candidate, features, jagged, table
from ..model.strategies import CANDIDATES, USERS
from .bundles import trained, write

PROFILE = features(SCHEMA, "profile", 1)
USER = User(
    PROFILE,
    [behaviour(-3, 2), behaviour(-1, 3, sequence="buys")],
    [behaviour(1, 4), behaviour(2, 5, sequence="buys"), behaviour(4, 6)],
    [candidate(3, 7), candidate(5, 8)],
).ascending()
OF_ONE = 2 * (4 + 2 + 3) * 32 * 8 + 8 * (2 + 1 + 1 + 3)
"""Bytes of that user's prefix in one layer of 32 float64s: keys and values, and where they are."""


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    """Two, of other weights, in float64: differences are no rounding."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("versions")
    bundles = [
        load_bundle(folder / write(folder, trained("mtgr", seed), "mtgr").version)
        for seed in range(2)
    ]
    for bundle in bundles:
        bundle.ranker.double()
    return bundles


def expected(bundle: Bundle, users: list[User]) -> np.ndarray:
    """Without any cache."""
    with torch.inference_mode():
        found: np.ndarray = bundle.ranker.predictions(bundle.ranker(jagged(users))).numpy()
    return found


def scores(engine: Engine, users: list[User]) -> np.ndarray:
    return np.concatenate(engine.submit(table(users)).result().scores)


def known(user: User, events: int) -> User:
    """The user when so many of the window's events were known."""
    return replace(user, realtime=user.realtime[:events])


VISIT = st.tuples(
    st.integers(0, 2), st.integers(0, 5), st.lists(CANDIDATES, min_size=1, max_size=3)
)
"""Who comes, how many events were known, what is to be scored."""


@settings(max_examples=examples(100), deadline=None)
@given(
    people=st.lists(USERS, min_size=3, max_size=3),
    stream=st.lists(
        st.tuples(st.integers(0, 1), st.lists(VISIT, min_size=1, max_size=3)), max_size=8
    ),
    cache_bytes=st.sampled_from([1, 8_000, 20_000, 1 << 20]),
    replays=st.booleans(),
)
def test_who_comes_again_is_scored_as_if_new(
    versions: list[Bundle],
    people: list[User],
    stream: list[tuple[int, list[tuple[int, int, list[dict[str, object]]]]]],
    cache_bytes: int,
    replays: bool,
) -> None:
    """Users return, their events grow or are others, some are dropped, versions change; with every
    part of the model replayed in fixed buffers, and without."""
    engines = [
        Engine(bundle, cache_bytes=cache_bytes, batch_tokens=300, replays=replays)
        for bundle in versions
    ]
    for engine in engines:
        engine.warm()
    for version, visits in stream:
        users = [
            replace(known(people[who], events), candidates=shown).ascending()
            for who, events, shown in visits
        ]
        found = scores(engines[version], users)
        np.testing.assert_allclose(found, expected(versions[version], users), atol=1e-6)
        cache = engines[version].scorer.cache
        assert cache is not None
        assert cache.bytes <= cache_bytes
    for engine in engines:
        if engine.scorer.replays is not None:
            assert engine.scorer.replays.ran == 4  # of `warm`
        engine.close()


def counts(engine: Engine) -> dict[str, int]:
    assert engine.scorer.cache is not None
    names = ("encoded", "extended", "found", "dropped")
    return {name: getattr(engine.scorer.cache, name) for name in names}


def test_what_is_encoded_extended_and_found(versions: list[Bundle]) -> None:
    engine = Engine(versions[0])
    visits = [
        (known(USER, 1), "encoded"),
        (known(USER, 1), "found"),
        (known(USER, 3), "extended"),
        (USER, "found"),
        (known(USER, 2), "encoded"),  # another past: one of the events is gone
        (replace(known(USER, 2), static=USER.static[:1]), "encoded"),
        (replace(USER, profile=features(SCHEMA, "profile", 9)), "encoded"),
        (USER, "extended"),
        # Known before what is kept was: it would stand among it.
        (replace(USER, realtime=[*USER.realtime, behaviour(0, 9)]).ascending(), "encoded"),
    ]
    before = counts(engine)
    for user, how in visits:
        np.testing.assert_allclose(scores(engine, [user]), expected(versions[0], [user]), atol=1e-6)
        after = counts(engine)
        assert Counter(after) - Counter(before) == {how: 1}, how
        before = after
    engine.close()


def test_an_event_at_the_moment_of_the_last_one_follows_it(versions: list[Bundle]) -> None:
    engine = Engine(versions[0])
    more = replace(USER, realtime=[*USER.realtime, behaviour(4, 10, sequence="buys")])
    scores(engine, [USER])
    np.testing.assert_allclose(
        scores(engine, [more]), expected(versions[0], [more.ascending()]), atol=1e-6
    )
    assert counts(engine)["extended"] == 1
    engine.close()


def test_what_was_used_longest_ago_makes_room(versions: list[Bundle]) -> None:
    people = [replace(USER, profile=features(SCHEMA, "profile", seed)) for seed in range(3)]
    engine = Engine(versions[0], cache_bytes=2 * OF_ONE)
    for who in (0, 1, 0, 2, 0, 1):  # 2 takes the place of 1, and 1 that of 2
        scores(engine, [people[who]])
    assert counts(engine) == {"encoded": 4, "extended": 0, "found": 2, "dropped": 2}
    assert engine.scorer.cache is not None
    assert (engine.scorer.cache.bytes, len(engine.scorer.cache)) == (2 * OF_ONE, 2)
    engine.close()


def test_one_that_fits_nowhere_is_not_kept(versions: list[Bundle]) -> None:
    engine = Engine(versions[0], cache_bytes=OF_ONE - 1)
    for _ in range(2):
        scores(engine, [USER])
    assert counts(engine) == {"encoded": 2, "extended": 0, "found": 0, "dropped": 0}
    assert engine.scorer.cache is not None
    assert engine.scorer.cache.bytes == 0
    engine.close()


def test_a_kept_prefix_is_its_own_memory(versions: list[Bundle]) -> None:
    """Else one user would hold all those they were encoded with."""
    model = versions[0].ranker
    batch = jagged([USER] * 20)
    with torch.inference_mode():
        groups = [group for group in SCHEMA.groups if group.part != "candidates"]
        parts = model.encode_prefix(batch, model.lookup(batch, groups)).split()
    assert kept_bytes(parts[3]) == OF_ONE
    assert parts[3].keys[0].untyped_storage().nbytes() == parts[3].keys[0].nbytes


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e20])
def test_what_is_not_finite_in_a_candidate_stays_in_it(versions: list[Bundle], bad: float) -> None:
    engine = Engine(versions[0])
    sound = [candidate(3, seed) for seed in range(20, 26)]
    broken = [*sound[:2], sound[2] | {"distance": bad}, *sound[3:]]
    users = [replace(USER, candidates=shown) for shown in (sound, broken)]
    others = [0, 1, 3, 4, 5]
    for _ in range(2):  # encoded, then found
        before, after = (scores(engine, [user]) for user in users)
        np.testing.assert_allclose(after[others], before[others], atol=1e-7)
    engine.close()


def test_without_memory_nothing_is_kept(versions: list[Bundle]) -> None:
    engine = Engine(versions[0], cache_bytes=0)
    assert engine.scorer.cache is None
    for _ in range(2):
        np.testing.assert_allclose(scores(engine, [USER]), expected(versions[0], [USER]), atol=1e-6)
    engine.close()


def test_a_dlrm_makes_its_prefix_anew(tmp_path: Path) -> None:
    """It is hardly more than looking its parts up."""
    bundle = load_bundle(tmp_path / write(tmp_path, trained("dlrm"), "dlrm").version)
    engine = Engine(bundle)
    assert engine.scorer.cache is None
    np.testing.assert_allclose(scores(engine, [USER]), expected(bundle, [USER]), atol=1e-6)
    engine.close()
