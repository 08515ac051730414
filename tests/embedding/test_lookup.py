"""The compiled lookup: each id its own vector, to the last bit."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rayrank.embedding import lookup as room
from rayrank.embedding.buckets import build
from rayrank.embedding.hashing import mix
from rayrank.embedding.lookup import look_up

from ..effort import examples
from .test_buckets import CROWDED, INT64, unmixed


def random_halves(places: int, dim: int) -> torch.Tensor:
    """Every finite half: numbers below the normal ones, negative zeros and the largest too."""
    generator = torch.Generator().manual_seed(0)
    bits = torch.randint(-(1 << 15), 1 << 15, (places + 1, dim), generator=generator)
    halves = bits.to(torch.int16).view(torch.float16)
    return torch.where(halves.isfinite(), halves, torch.tensor(-0.0, dtype=torch.float16))


@settings(max_examples=examples(200), deadline=None)
@given(
    keys=st.lists(INT64 | CROWDED, max_size=80, unique=True),
    others=st.lists(INT64 | CROWDED, max_size=90),
    dim=st.sampled_from([4, 8, 20]),
)
def test_known_ids_have_their_vectors_and_others_the_last(
    keys: list[int], others: list[int], dim: int
) -> None:
    within, places = build(torch.tensor(keys, dtype=torch.int64))
    vectors = random_halves(len(within.keys), dim)
    others = [key for key in others if key not in keys and key != within.empty]
    out = torch.full((len(keys) + len(others), dim), torch.nan)
    found = look_up(unmixed(keys + others), within, vectors, out)
    assert found is out
    unknown = torch.full((len(others),), len(within.keys))
    expected = vectors[torch.cat([places, unknown])].float()
    assert torch.equal(found.view(torch.int32), expected.view(torch.int32))


def test_every_finite_half_becomes_the_same_float() -> None:
    halves = torch.arange(-(1 << 15), 1 << 15).to(torch.int16).view(torch.float16)
    halves = halves[halves.isfinite()].view(-1, 4)
    within, places = build(torch.arange(1, 1 + len(halves)))
    vectors = torch.zeros(len(within.keys) + 1, 4, dtype=torch.float16)
    vectors[places] = halves
    found = look_up(
        unmixed(list(range(1, 1 + len(halves)))), within, vectors, torch.empty(len(halves), 4)
    )
    assert torch.equal(found.view(torch.int32), halves.float().view(torch.int32))


def test_many_ids_are_shared_by_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "WORTH_A_THREAD", 100)
    ids = torch.arange(5000) * 7919
    within, places = build(mix(ids))
    vectors = random_halves(len(within.keys), 8)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        order = torch.from_numpy(np.random.default_rng(0).permutation(5000))
        found = look_up(ids[order], within, vectors, torch.empty(5000, 8))
        assert torch.equal(found, vectors[places[order]].float())
    finally:
        torch.set_num_threads(before)
