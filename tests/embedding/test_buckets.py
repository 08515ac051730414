"""Finding 64-bit ids in buckets: against a dict."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rayrank.embedding.buckets import LANES, build, find
from rayrank.embedding.hashing import mix

from ..effort import examples

INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
# Keys in few buckets, next to the value of an empty place, and at the ends.
CROWDED = st.integers(0, 40) | st.integers(-5, -1) | st.sampled_from([-(1 << 63), (1 << 63) - 1])


def unmixed(keys: list[int]) -> torch.Tensor:
    """The ids whose `mix` the keys are."""
    mask = (1 << 64) - 1

    def back(y: int) -> int:
        for shift, factor in ((31, 0x94D049BB133111EB), (27, 0xBF58476D1CE4E5B9), (30, 1)):
            x = y
            for _ in range(64 // shift):
                x = y ^ (x >> shift)
            y = x * pow(factor, -1, 1 << 64) & mask
        return y - (1 << 64) if y >> 63 else y

    ids = torch.tensor([back(key & mask) for key in keys], dtype=torch.int64)
    assert mix(ids).tolist() == keys
    return ids


@settings(max_examples=examples(200), deadline=None)
@given(
    keys=st.lists(INT64 | CROWDED, max_size=80, unique=True),
    others=st.lists(INT64 | CROWDED, max_size=40),
)
def test_every_key_is_found_at_its_place_and_no_other(keys: list[int], others: list[int]) -> None:
    within, places = build(torch.tensor(keys, dtype=torch.int64))
    assert len(set(places.tolist())) == len(keys)
    assert within.keys[places].tolist() == keys
    assert (within.keys == within.empty).sum() == len(within.keys) - len(keys)
    at = dict(zip(keys, places.tolist(), strict=True))
    asked = keys + others
    for key, place in zip(asked, find(unmixed(asked), within).tolist(), strict=True):
        if key in at:
            assert place == at[key]
        else:  # nowhere, or where nobody is
            assert place == len(within.keys) or within.keys[place] == within.empty


@settings(deadline=None)
@given(keys=st.lists(INT64, max_size=60, unique=True), data=st.data())
def test_the_order_of_keys_does_not_matter(keys: list[int], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(keys))
    one, places = build(torch.tensor(keys, dtype=torch.int64))
    other, again = build(torch.tensor(shuffled, dtype=torch.int64))
    assert torch.equal(one.keys, other.keys)
    assert (one.empty, one.reach) == (other.empty, other.reach)
    of = dict(zip(keys, places.tolist(), strict=True))
    assert of == dict(zip(shuffled, again.tolist(), strict=True))


def test_keys_that_want_one_bucket_go_on_to_the_next_ones_and_around() -> None:
    """All of the last bucket: 20 keys have five buckets, and only the last is theirs."""
    keys = [-1 - i for i in range(20)]  # the highest of unsigned values
    within, places = build(torch.tensor(keys))
    assert len(within.keys) == 4 * LANES
    assert within.reach == 3
    assert sorted(set((places // LANES).tolist())) == [0, 1, 3]
    assert find(unmixed(keys), within).tolist() == places.tolist()


def test_three_quarters_of_the_places_are_filled() -> None:
    within, _ = build(mix(torch.arange(60_000)))
    assert len(within.keys) == 80_000
    assert within.reach < 10
