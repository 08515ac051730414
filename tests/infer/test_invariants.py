"""DESIGN section 4's five invariants of what an engine serves: with its cache, on streams of
requests, and with every part of the model replayed."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rayrank.infer.bundle import load_bundle
from rayrank.infer.engine import Engine
from rayrank.model.build import build_model
from rayrank.model.mtgr import MTGR, MTGRConfig

from ..effort import examples
from ..model.dense import dense_logits
from ..model.rankers import tables_with_rows
from ..model.rows import MINUTE, SCALES, SCHEMA, WINDOW, Element, User, table
from ..model.strategies import BEHAVIOURS, CANDIDATES, USERS
from .bundles import CONFIGS, SEED, write

# Few tokens share so large a divisor that attention would hardly be seen.
CONFIG = MTGRConfig(size=None, layers=3, d_model=32, heads=2, attention_length=4, embedding_std=1.0)
few = settings(max_examples=examples(40), deadline=None)
BROKEN = st.sampled_from([float("nan"), float("inf"), 1e20])


@pytest.fixture(scope="module", params=[False, True], ids=["as it stands", "replayed"])
def engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    """In float64: differences are no rounding. Its cache holds a handful of users."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("bundles")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CONFIGS, "mtgr", CONFIG)
        torch.manual_seed(0)
        ranker = build_model(SCHEMA, CONFIG, tables_with_rows(SCHEMA, SEED), SCALES).eval()
        bundle = load_bundle(folder / write(folder, ranker, "mtgr").version)
    bundle.ranker.double()
    one = Engine(bundle, cache_bytes=60_000, batch_tokens=300, replays=request.param)
    one.warm()
    yield one
    cache = one.scorer.cache
    assert cache is not None
    assert min(cache.encoded, cache.extended, cache.found, cache.dropped) > 0
    if one.scorer.replays is not None:
        assert one.scorer.replays.replayed > one.scorer.replays.ran
    one.close()


def scores(engine: Engine, *users: User) -> list[np.ndarray]:
    return engine.submit(table(list(users))).result().scores


def equal(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-7)  # scores are float32


def minute_of(element: Element) -> int:
    at = element["known_at"] if "known_at" in element else element["time"]
    return int(at - WINDOW) // MINUTE


@few
@given(user=USERS, others=st.lists(CANDIDATES, max_size=4), bad=BROKEN, data=st.data())
def test_1_a_score_ignores_the_other_candidates(
    engine: Engine, user: User, others: list[Element], bad: float, data: st.DataObject
) -> None:
    """Whatever they hold."""
    (together,) = scores(engine, user)
    broken = [other | {"distance": bad} for other in others]
    order = data.draw(st.permutations([*user.candidates, *broken]))
    shuffled = replace(user, candidates=order).ascending()
    (found,) = scores(engine, shuffled)
    for c, shown in enumerate(user.candidates):
        place = next(i for i, other in enumerate(shuffled.candidates) if other is shown)
        equal(found[place], together[c])


@few
@given(user=USERS, events=st.lists(BEHAVIOURS, max_size=5))
def test_2_nothing_at_or_after_a_candidate_moves_its_score(
    engine: Engine, user: User, events: list[Element]
) -> None:
    (before,) = scores(engine, user)
    for c, shown in enumerate(user.candidates):
        past = [e for e in user.realtime if minute_of(e) < minute_of(shown)]
        future = [e for e in events if minute_of(e) >= minute_of(shown)]
        other = replace(user, realtime=[*past, *future], candidates=[shown]).ascending()
        (after,) = scores(engine, other)
        equal(after[0], before[c])


@few
@given(user=USERS, others=st.lists(USERS, max_size=3), place=st.integers(0, 3))
def test_3_a_score_ignores_who_else_is_in_the_batch(
    engine: Engine, user: User, others: list[User], place: int
) -> None:
    (alone,) = scores(engine, user)
    batch = [*others[:place], user, *others[place:]]
    equal(scores(engine, *batch)[batch.index(user)], alone)


@few
@given(users=st.lists(USERS, min_size=1, max_size=3))
def test_4_and_5_scores_are_those_of_the_padded_dense_model(
    engine: Engine, users: list[User]
) -> None:
    """Encoded, extended event by event, and found again."""
    model = engine.bundle.ranker
    assert isinstance(model, MTGR)
    with torch.no_grad():
        logits_CK = dense_logits(model, users, CONFIG)
        expected = model.predictions(logits_CK).numpy()
    for events in (0, 2, 5, 5):
        found = [replace(user, realtime=user.realtime[:events]) for user in users]
        served = scores(engine, *found)
    equal(np.concatenate(served), expected)
