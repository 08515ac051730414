"""The mix: users who return, with more behind them each time, in requests that fit their bundle."""

from collections import Counter, defaultdict
from itertools import islice, pairwise
from typing import Any

import numpy as np
import orjson
import pytest
from rayrank.data.ids import IdTypes
from rayrank.errors import ServeError
from rayrank.infer.bundle import Manifest
from rayrank.infer.prefix_cache import PrefixCache
from rayrank.schema import Schema
from rayrank.serve.contract import contract
from rayrank.serve.limits import Limits
from rayrank.serve.load_mix import Mix, MixSizes
from rayrank.serve.request import RequestParser

from ..model import rows
from . import requests

ID_TYPES: IdTypes = {"i": "integer", "cat": "string", "item_id": "string", "tags": "integer"}
SCHEMAS = [requests.SCHEMA, rows.SCHEMA, rows.NO_PROFILE]
WIDE = Limits()
TIGHT = Limits(candidates=4, behaviours=7, list_ids=2)


def model(schema: Schema = requests.SCHEMA, limits: Limits = WIDE) -> dict[str, Any]:
    ranges = {"candidate.ctr": (-1.0, 2.0)}
    manifest = Manifest.model_construct(id_types=ID_TYPES, ranges=ranges)
    return {"request": contract(schema, manifest), "limits": limits.model_dump()}


def made(mix: Mix, count: int) -> list[dict[str, Any]]:
    return [mix.next() for _ in range(count)]


def behaviours(request: dict[str, Any]) -> int:
    return sum(len(told["time_ms"]) for told in request["sequences"].values())


@pytest.mark.parametrize("limits", [WIDE, TIGHT, Limits(behaviours=2)])
@pytest.mark.parametrize("schema", SCHEMAS)
def test_the_endpoint_takes_each_request(schema: Schema, limits: Limits) -> None:
    parser = RequestParser(schema, ID_TYPES, limits)
    few = MixSizes(users=3, first=(2, 9), candidates=(3, 9))
    for body in islice(Mix(model(schema, limits), few).bodies(), 20):
        parsed = parser.parse(body)
        assert 3 <= parsed.candidates <= min(9, limits.candidates)
        assert parsed.ahead == 0


def test_the_first_of_many_users_comes_as_often_as_zipf_has_it() -> None:
    seen = Counter(r["user"] for r in made(Mix(model(limits=TIGHT), MixSizes(users=100)), 4000))
    harmonic = sum(1 / n for n in range(1, 101))
    for rank in (1, 2, 10):
        expected = 4000 / harmonic / rank
        assert seen[rank - 1] == pytest.approx(expected, abs=4 * expected**0.5), rank
    assert max(seen) <= 99


def test_who_returns_says_the_same_and_more() -> None:
    """So a kept prefix is extended: what came is the end of what was known, in each sequence."""
    visits = defaultdict(list)
    for request in made(Mix(model(), MixSizes(users=3, first=(5, 40), more=(2, 6))), 30):
        visits[request["user"]].append(request)
    for one in visits.values():
        for before, now in pairwise(one):
            assert now["profile"] == before["profile"]
            assert 2 <= behaviours(now) - behaviours(before) <= 6
            for name, told in before["sequences"].items():
                for column, values in told.items():
                    assert now["sequences"][name][column][: len(values)] == values
                new = now["sequences"][name]["time_ms"][len(told["time_ms"]) :]
                assert all(before["time_ms"] < time <= now["time_ms"] for time in new)


def test_histories_start_by_factors_and_end_at_the_longest() -> None:
    mix = Mix(model(), MixSizes(users=10_000, zipf=0.0, first=(50, 500), candidates=(1, 1)))
    first = [behaviours(request) for request in made(mix, 1000)]
    assert 50 <= min(first) < 53
    assert 470 < max(first) < 530  # some have returned
    assert np.median(first) == pytest.approx((50 * 500) ** 0.5, rel=0.1)

    alone = made(Mix(model(), MixSizes(users=1, longest=60, more=(20, 20))), 5)
    sequences = len(requests.SCHEMA.sequences)
    assert behaviours(alone[-1]) <= 60
    assert behaviours(alone[-1]) > 60 - 20 * sequences
    latest = [max(told["time_ms"]) for told in alone[-1]["sequences"].values()]
    assert min(latest) > alone[-2]["time_ms"]


def test_candidates_are_100_to_1000_and_no_more_than_the_limit() -> None:
    shown = [len(r["candidates"]["item"]) for r in made(Mix(model()), 300)]
    assert 100 <= min(shown) < 130
    assert 970 < max(shown) <= 1000
    assert {len(r["candidates"]["item"]) for r in made(Mix(model(limits=TIGHT)), 20)} == {4}


def test_values_are_of_their_kind_and_range() -> None:
    (request,) = made(Mix(model(), MixSizes(first=(50, 60))), 1)
    shown = request["candidates"]
    assert "i" not in shown, "it is the item's own id"
    assert {type(value) for value in shown["cat"]} == {str}
    assert {type(value) for value in shown["item"]} == {int}
    assert 0 <= min(shown["ctr"]) < 0.2
    assert 1.8 < max(shown["ctr"]) <= 2
    other = Mix(model(rows.SCHEMA), MixSizes(first=(50, 60))).next()
    assert {type(value) for value in other["candidates"]["item"]} == {str}


def test_a_seed_is_a_mix() -> None:
    first, again, other = (made(Mix(model(limits=TIGHT), seed=s), 5) for s in (0, 0, 1))
    assert first == again
    assert first != other


def test_what_it_cannot_make_is_said() -> None:
    told = model()
    told["request"]["candidates"]["cat"]["kind"] = "image"
    with pytest.raises(ServeError, match="feature cat: of kind image"):
        Mix(told).next()
    small = model(limits=Limits(body_bytes=200))
    with pytest.raises(ServeError, match=r"the endpoint takes 200: raise limits\.body_bytes"):
        next(Mix(small).bodies())


def test_a_kept_prefix_is_found_and_extended() -> None:
    parser = RequestParser(requests.SCHEMA, ID_TYPES, WIDE)
    cache = PrefixCache(requests.SCHEMA, 1 << 20)
    one, two = (
        parser.parse(orjson.dumps(request)).rows
        for request in made(Mix(model(), MixSizes(users=1, first=(5, 9), candidates=(3, 3))), 2)
    )
    cache.keep(cache.key(one), object(), one)
    found = cache.find(cache.key(two), two)
    assert found is not None
    assert found.more
