"""Mixing is a bijection, and an id's first vector is a function of (seed, id) alone."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rayrank.embedding.hashing import initial_vectors, mix, table_seed
from rayrank.embedding.sharded import owner

from ..effort import examples

INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
MASK = (1 << 64) - 1


def splitmix64(x: int) -> int:
    """The finaliser of SplitMix64 on Python's integers."""
    x &= MASK
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & MASK
    return x ^ (x >> 31)


def signed(x: int) -> int:
    return x - (1 << 64) if x >> 63 else x


def unmix(x: int) -> int:
    """The inverse of splitmix64."""
    x &= MASK
    x ^= (x >> 31) ^ (x >> 62)
    x = x * pow(0x94D049BB133111EB, -1, 1 << 64) & MASK
    x ^= (x >> 27) ^ (x >> 54)
    x = x * pow(0xBF58476D1CE4E5B9, -1, 1 << 64) & MASK
    return signed(x ^ (x >> 30) ^ (x >> 60))


@settings(max_examples=examples(200), deadline=None)
@given(ids=st.lists(INT64, min_size=1, max_size=20))
def test_mix_is_splitmix64_and_has_an_inverse(ids: list[int]) -> None:
    mixed = mix(torch.tensor(ids)).tolist()
    assert mixed == [signed(splitmix64(i)) for i in ids]
    assert [unmix(m) for m in mixed] == ids


def test_mix_has_no_collisions_and_spreads() -> None:
    mixed = mix(torch.arange(-50_000, 50_000))
    assert len(torch.unique(mixed)) == 100_000
    assert torch.bincount(mixed & 7, minlength=8).min() > 12_000


@settings(max_examples=examples(200), deadline=None)
@given(keys=st.lists(INT64, min_size=1, max_size=20), world=st.integers(1, 13))
def test_owner_is_the_unsigned_value_modulo_the_ranks(keys: list[int], world: int) -> None:
    assert owner(torch.tensor(keys), world).tolist() == [(k & MASK) % world for k in keys]


@settings(max_examples=examples(50), deadline=None)
@given(ids=st.lists(INT64, min_size=1, max_size=20), seed=INT64, data=st.data())
def test_an_initial_vector_depends_on_seed_and_id_alone(
    ids: list[int], seed: int, data: st.DataObject
) -> None:
    together = initial_vectors(torch.tensor(ids), 8, seed, 0.1)
    order = data.draw(st.permutations(range(len(ids))))
    shuffled = initial_vectors(torch.tensor([ids[i] for i in order]), 8, seed, 0.1)
    assert torch.equal(shuffled, together[list(order)])
    assert torch.equal(initial_vectors(torch.tensor(ids[:1]), 8, seed, 0.1), together[:1])


def test_other_ids_and_other_seeds_start_elsewhere() -> None:
    ids = torch.arange(20_000)
    vectors = initial_vectors(ids, 4, table_seed("item", 0), 0.1)
    assert len(torch.unique(vectors, dim=0)) == len(ids)
    for other in (table_seed("item", 1), table_seed("tag", 0)):
        elsewhere = initial_vectors(ids, 4, other, 0.1)
        correlation = np.corrcoef(vectors.flatten(), elsewhere.flatten())[0, 1]
        assert abs(correlation) < 0.02


@pytest.mark.parametrize("std", [0.02, 1.0])
def test_initial_vectors_have_mean_zero_and_the_deviation_asked_for(std: float) -> None:
    vectors = initial_vectors(torch.arange(20_000), 16, 7, std)
    assert vectors.shape == (20_000, 16)
    assert abs(vectors.mean(0)).max() < 0.03 * std
    torch.testing.assert_close(vectors.std(0), torch.full((16,), std), rtol=0.03, atol=0)
    assert vectors.abs().max() <= std * 12**0.5 / 2
    # Dimensions are independent of each other.
    correlation = np.corrcoef(vectors.numpy().T) - np.eye(16)
    assert np.abs(correlation).max() < 0.04


def test_no_ids_have_no_vectors() -> None:
    assert initial_vectors(torch.zeros(0, dtype=torch.int64), 8, 0, 0.1).shape == (0, 8)
